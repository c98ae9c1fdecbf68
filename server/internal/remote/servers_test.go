package remote

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pkg/sftp"
	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
	"golang.org/x/crypto/ssh"
	"golang.org/x/net/webdav"

	"github.com/pointscene/carillon/server/internal/task"
)

const (
	testKey    = "AKIDEXAMPLE"
	testSecret = "wJalrXUtnFEMI-TOPSECRET"
)

// s3Server is an S3 server in this process, with one account.
type s3Server struct {
	*httptest.Server
	backend gofakes3.Backend
	// refused counts answers of 401 and 403.
	refused atomic.Int64
	// intercept, when set, sees every request first; true means it answered.
	intercept atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
}

type statusWriter struct {
	http.ResponseWriter
	refused *atomic.Int64
}

func (w statusWriter) WriteHeader(status int) {
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		w.refused.Add(1)
	}
	w.ResponseWriter.WriteHeader(status)
}

func startS3(t *testing.T, key, secret string, buckets ...string) *s3Server {
	t.Helper()
	s := &s3Server{backend: s3mem.New()}
	handler := gofakes3.New(s.backend, gofakes3.WithV4Auth(map[string]string{key: secret})).Server()
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := s.intercept.Load(); f != nil && (*f)(w, r) {
			return
		}
		handler.ServeHTTP(statusWriter{w, &s.refused}, r)
	}))
	t.Cleanup(s.Close)
	for _, bucket := range buckets {
		if err := s.backend.CreateBucket(t.Context(), bucket); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *s3Server) config(name, key, secret string) task.RemoteConfig {
	return task.RemoteConfig{ResourceID: 7, Name: name, Type: "s3", Options: map[string]string{
		"access_key_id": key, "secret_access_key": secret, "endpoint": s.URL, "force_path_style": "true"}}
}

func (s *s3Server) put(t *testing.T, bucket, key, content string) {
	t.Helper()
	_, err := s.backend.PutObject(t.Context(), bucket, key, map[string]string{}, strings.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
}

func (s *s3Server) read(t *testing.T, bucket string) files {
	t.Helper()
	list, err := s.backend.ListBucket(t.Context(), bucket, nil, gofakes3.ListBucketPage{})
	if err != nil {
		t.Fatal(err)
	}
	got := files{}
	for _, object := range list.Contents {
		content, err := s.backend.GetObject(t.Context(), bucket, object.Key, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(content.Contents)
		if err != nil {
			t.Fatal(err)
		}
		got[object.Key] = string(text)
	}
	return got
}

// startWebDAV serves dir to one user.
func startWebDAV(t *testing.T, dir string) *httptest.Server {
	t.Helper()
	return serveWebDAV(t, webdav.Dir(dir))
}

func serveWebDAV(t *testing.T, system webdav.FileSystem) *httptest.Server {
	t.Helper()
	dav := &webdav.Handler{FileSystem: system, LockSystem: webdav.NewMemLS()}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "u" || password != testSecret {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		dav.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server
}

func davConfig(url, password string) task.RemoteConfig {
	return task.RemoteConfig{ResourceID: 7, Name: "dav", Type: "webdav",
		Options: map[string]string{"url": url, "user": "u", "pass": password}}
}

// sftpServer serves this machine's files to one user.
type sftpServer struct {
	listener net.Listener
	config   ssh.ServerConfig
	accepted atomic.Int64
}

func startSFTP(t *testing.T) *sftpServer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s := &sftpServer{config: ssh.ServerConfig{
		PasswordCallback: func(c ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			if c.User() != "u" || string(password) != testSecret {
				return nil, errors.New("no")
			}
			return nil, nil
		},
	}}
	s.config.AddHostKey(signer)
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.listener.Close() })
	go func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			s.accepted.Add(1)
			go s.serve(conn)
		}
	}()
	return s
}

func (s *sftpServer) serve(raw net.Conn) {
	defer raw.Close()
	_, channels, requests, err := ssh.NewServerConn(raw, &s.config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for incoming := range channels {
		channel, requests, err := incoming.Accept()
		if err != nil {
			return
		}
		go func() {
			for request := range requests {
				isSFTP := request.Type == "subsystem" && strings.HasSuffix(string(request.Payload), "sftp")
				_ = request.Reply(isSFTP, nil)
				if isSFTP {
					go func() {
						server, err := sftp.NewServer(channel)
						if err == nil {
							_ = server.Serve()
						}
						channel.Close()
					}()
				}
			}
		}()
	}
}

func (s *sftpServer) remote(password string) task.RemoteConfig {
	host, port, _ := net.SplitHostPort(s.listener.Addr().String())
	return task.RemoteConfig{ResourceID: 7, Name: "ssh", Type: "sftp",
		Options: map[string]string{"host": host, "port": port, "user": "u", "pass": password}}
}

// saver remembers what was saved.
type saver struct{ saved []string }

func (s *saver) save(_ context.Context, key, value string) error {
	s.saved = append(s.saved, key+"="+value)
	return nil
}
