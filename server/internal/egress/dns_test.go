package egress_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers every question about IPv4 addresses. Its answers are
// given in turn; the last one is repeated.
type nameServer struct {
	t       *testing.T
	mu      sync.Mutex
	answers [][]netip.Addr
	asked   int
	// missing says that it knows no name; delay is how long it thinks.
	missing bool
	delay   time.Duration
}

func newNameServer(t *testing.T, answers ...[]netip.Addr) *nameServer {
	return &nameServer{t: t, answers: answers}
}

func addresses(texts ...string) []netip.Addr {
	out := make([]netip.Addr, len(texts))
	for i, text := range texts {
		out[i] = netip.MustParseAddr(text)
	}
	return out
}

// resolver returns a resolver that asks only this name server.
func (s *nameServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go s.serve(server)
		return client, nil
	}}
}

// serve answers the length-prefixed questions of one connection.
func (s *nameServer) serve(conn net.Conn) {
	defer conn.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		question := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, question); err != nil {
			return
		}
		answer := s.answer(question)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

func (s *nameServer) answer(raw []byte) []byte {
	var message dnsmessage.Message
	if err := message.Unpack(raw); err != nil || len(message.Questions) != 1 {
		s.t.Errorf("question: %v", err)
		return nil
	}
	time.Sleep(s.delay)
	question := message.Questions[0]
	message.Response, message.RecursionAvailable, message.Additionals = true, true, nil
	if s.missing {
		message.RCode = dnsmessage.RCodeNameError
	}
	if question.Type == dnsmessage.TypeA && !s.missing {
		for _, addr := range s.next() {
			message.Answers = append(message.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class},
				Body:   &dnsmessage.AResource{A: addr.As4()},
			})
		}
	}
	packed, err := message.Pack()
	if err != nil {
		s.t.Errorf("answer: %v", err)
	}
	return packed
}

func (s *nameServer) next() []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := s.answers[min(s.asked, len(s.answers)-1)]
	s.asked++
	return answer
}
