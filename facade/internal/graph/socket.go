package graph

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"google.golang.org/grpc/codes"

	"github.com/pointscene/carillon/facade/internal/door"
	"github.com/pointscene/carillon/facade/internal/strictjson"
)

// subprotocol is that of graphql-ws, the only one that is spoken.
const subprotocol = "graphql-transport-ws"

// The limits of a connection.
const (
	// initTimeout is how long a client may take to say who it is.
	initTimeout = 10 * time.Second
	// maxUnknownMessage bounds what a client sends before that, in bytes.
	maxUnknownMessage = 16 << 10
	// maxOperations is how many operations one has at a time.
	maxOperations = 100
	// maxOperationID bounds what is answered with every response, in bytes.
	maxOperationID = 128
	// A client that takes nothing, or answers no ping, for so long is gone.
	socketTimeout = 10 * time.Second
	pingEvery     = 20 * time.Second
)

// The reasons to close a connection, as the protocol has them.
var (
	closeBadRequest  = closing{4400, "Invalid message"}
	closeTooEarly    = closing{4401, "Unauthorized"}
	closeForbidden   = closing{4403, "Forbidden"}
	closeSubprotocol = closing{4406, "Subprotocol not acceptable"}
	closeNoInit      = closing{4408, "Connection initialisation timeout"}
	closeSameID      = closing{4409, "Subscriber already exists"}
	closeTwoInits    = closing{4429, "Too many initialisation requests"}
)

type closing struct {
	code   websocket.StatusCode
	reason string
}

// wantsSocket tells whether a client asks for a WebSocket.
func wantsSocket(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// handshake keeps the library's texts from the client: they repeat headers.
type handshake struct {
	http.ResponseWriter
	refused int
}

func (h *handshake) WriteHeader(code int) {
	if code == http.StatusSwitchingProtocols {
		h.ResponseWriter.WriteHeader(code)
		return
	}
	h.refused = code
}

func (h *handshake) Write(p []byte) (int, error) { return len(p), nil }

// Unwrap lets the library take the connection over.
func (h *handshake) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// serveSocket answers operations over a WebSocket. Pages of other hosts are
// refused; programs have no origin.
func (h *Handler) serveSocket(w http.ResponseWriter, r *http.Request) {
	if _, err := door.Outgoing(r); err != nil {
		refuse(w, r, jsonMedia, err)
		return
	}
	shake := &handshake{ResponseWriter: w}
	conn, err := websocket.Accept(shake, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}, OriginPatterns: h.hosts})
	if err != nil && shake.refused == 0 {
		return // the client was gone already
	}
	if err != nil {
		refused := door.Refuse(codes.InvalidArgument, "WEBSOCKET_HANDSHAKE", "the request is no handshake of a WebSocket").WithHTTP(shake.refused)
		if shake.refused == http.StatusForbidden {
			refused = door.Refuse(codes.PermissionDenied, "ORIGIN_REFUSED", "pages of other hosts may not connect")
		}
		refuse(w, r, jsonMedia, refused)
		return
	}
	defer func() { _ = conn.CloseNow() }() // it is over either way
	conn.SetReadLimit(maxUnknownMessage)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	s := &socket{handler: h, conn: conn, ctx: ctx, request: r, active: map[string]*operating{}}
	defer s.running.Wait()
	defer cancel()
	s.running.Go(func() { s.endWithServer(ctx) })
	if err := s.serve(); err != nil {
		_ = conn.Close(err.code, err.reason) // the client may be gone
	}
}

// endWithServer says goodbye when the server stops. It has a context of its own,
// since the socket's is replaced when the client says who it is.
func (s *socket) endWithServer(ctx context.Context) {
	select {
	case <-door.Stopping(ctx):
		_ = s.conn.Close(websocket.StatusGoingAway, "the server is stopping") // the client may be gone
	case <-ctx.Done():
	}
}

// socket is one connection.
type socket struct {
	handler *Handler
	conn    *websocket.Conn
	ctx     context.Context
	request *http.Request
	running sync.WaitGroup

	mu     sync.Mutex
	active map[string]*operating
}

// operating is an operation that has not been completed.
type operating struct{ stop context.CancelFunc }

// message is what either side sends.
type message struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// serve reads messages until the connection ends, or must.
func (s *socket) serve() *closing {
	if s.conn.Subprotocol() != subprotocol {
		return &closeSubprotocol
	}
	late := time.AfterFunc(initTimeout, func() { _ = s.conn.Close(closeNoInit.code, closeNoInit.reason) })
	defer late.Stop()
	acknowledged := false
	for {
		m, wrong := s.read()
		if m == nil {
			return wrong
		}
		switch {
		case m.Type == "connection_init" && acknowledged:
			return &closeTwoInits
		case m.Type == "connection_init":
			if wrong := s.initialise(m.Payload); wrong != nil {
				return wrong
			}
			acknowledged = late.Stop()
			s.conn.SetReadLimit(door.MaxBody)
			s.running.Go(s.ping)
			s.send(message{Type: "connection_ack"})
		case m.Type == "ping":
			s.send(message{Type: "pong"})
		case m.Type == "pong":
		case m.Type == "subscribe" && !acknowledged:
			return &closeTooEarly
		case m.Type == "subscribe":
			if wrong := s.subscribe(m); wrong != nil {
				return wrong
			}
		case m.Type == "complete":
			s.complete(m.ID)
		default:
			return &closeBadRequest
		}
	}
}

// read answers the next message, or why there is none: nil when the connection
// has ended.
func (s *socket) read() (*message, *closing) {
	kind, data, err := s.conn.Read(s.ctx)
	if err != nil {
		return nil, nil
	}
	m := &message{}
	if kind != websocket.MessageText || !wellFormed(data) || json.Unmarshal(data, m) != nil {
		return nil, &closeBadRequest
	}
	return m, nil
}

// wellFormed checks a message but for its payload, which is refused with the
// name of what is wrong in it.
func wellFormed(data []byte) bool {
	var fault *strictjson.Error
	err := strictjson.Check(data, strictjson.DefaultMaxDepth+1)
	return err == nil || errors.As(err, &fault) && strings.HasPrefix(fault.Path, "payload")
}

// initialise finds out who the client is: by the Authorization of the payload
// or that of the request, but not by two that differ.
func (s *socket) initialise(payload json.RawMessage) *closing {
	var given map[string]any
	if len(payload) > 0 && (strictjson.Check(payload, strictjson.DefaultMaxDepth) != nil || json.Unmarshal(payload, &given) != nil) {
		return &closeBadRequest
	}
	for name, value := range given {
		if !strings.EqualFold(name, "Authorization") {
			continue
		}
		text, _ := value.(string)
		if before := s.request.Header.Get("Authorization"); before != "" && before != text {
			return &closeForbidden
		}
		s.request = s.request.Clone(s.ctx)
		s.request.Header.Set("Authorization", text)
	}
	ctx, err := door.Outgoing(s.request.WithContext(s.ctx))
	if err != nil || s.handler.access.Verdict(ctx, door.Need{}) != nil {
		return &closeForbidden
	}
	s.ctx = ctx
	return nil
}

// ping sees to it that a client that is gone does not hold its operations.
func (s *socket) ping() {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(s.ctx, socketTimeout)
		err := s.conn.Ping(ctx)
		cancel()
		if err != nil {
			_ = s.conn.CloseNow()
			return
		}
	}
}

// send writes a message. A client that does not take it loses the connection,
// which ends the reading too.
func (s *socket) send(m message) {
	text, _ := json.Marshal(m) // payloads are JSON
	ctx, cancel := context.WithTimeout(s.ctx, socketTimeout)
	defer cancel()
	if s.conn.Write(ctx, websocket.MessageText, text) != nil {
		_ = s.conn.CloseNow()
	}
}

// subscribe begins an operation of any kind.
func (s *socket) subscribe(m *message) *closing {
	if m.ID == "" || len(m.ID) > maxOperationID {
		return &closeBadRequest
	}
	ctx, stop := context.WithCancel(s.ctx)
	o := &operating{stop}
	s.mu.Lock()
	_, same := s.active[m.ID]
	full := len(s.active) >= maxOperations
	if !same && !full {
		s.active[m.ID] = o
	}
	s.mu.Unlock()
	if same || full {
		stop()
	}
	switch {
	case same:
		return &closeSameID
	case full:
		s.send(message{m.ID, "error", encodeErrors(failed(s.ctx, errTooMany).Errors)})
		return nil
	}
	s.running.Go(func() {
		defer stop()
		last := s.operate(ctx, m)
		if s.done(m.ID, o) {
			s.send(last)
		}
	})
	return nil
}

// complete ends an operation for the client, who hears no more of it.
func (s *socket) complete(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.active[id]; o != nil {
		o.stop()
		delete(s.active, id)
	}
}

// done tells whether an operation that has ended was not completed before. Its
// id may belong to another one by now.
func (s *socket) done(id string, o *operating) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active[id] != o {
		return false
	}
	delete(s.active, id)
	return true
}

var errTooMany = door.Refuse(codes.ResourceExhausted, "TOO_MANY_OPERATIONS", "the connection has as many operations as it may; complete one of them first")

// operate executes an operation and answers its last message.
func (s *socket) operate(ctx context.Context, m *message) message {
	leave, err := s.handler.admission.Hold(ctx, len(m.Payload))
	if err != nil {
		return message{m.ID, "error", encodeErrors(failed(ctx, err).Errors)}
	}
	o, errs, err := s.handler.check(ctx, m.Payload)
	leave()
	switch {
	case err != nil:
		return message{m.ID, "error", encodeErrors(failed(ctx, err).Errors)}
	case len(errs) > 0:
		return message{m.ID, "error", encodeErrors(errs)}
	}
	defer o.close()
	next := s.handler.execute(o)
	for response := next(); response != nil; response = next() {
		if response.Data == nil {
			return message{m.ID, "error", encodeErrors(response.Errors)}
		}
		s.send(message{m.ID, "next", encode(response)})
	}
	return message{ID: m.ID, Type: "complete"}
}

func encodeErrors(errs gqlerror.List) json.RawMessage {
	text, _ := json.Marshal(errs) // their parts are texts and numbers
	return text
}
