package interceptor

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/pointscene/carillon/server/internal/job"
)

const (
	// largeAnswer is the size from which an answer counts as unread until the
	// caller has taken it, in bytes.
	largeAnswer = 2 << 10
	// maxUnread bounds what a caller may leave unread. gRPC keeps an answer for
	// as long as its caller opens no window for it, which may be for ever.
	maxUnread = 32 << 20
	// bytesPerUnit of an answer are another unit of work.
	bytesPerUnit = 4 << 10
)

// reasonUnread is that of a caller who does not read what it asked for.
const reasonUnread = "TOO_MUCH_UNREAD"

// unread counts the bytes of large answers that callers have not taken yet.
type unread struct {
	mu    sync.Mutex
	bytes map[string]int
}

// add counts size more bytes of a caller if there is room.
func (u *unread) add(caller string, size int) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.full(caller, size); err != nil {
		return err
	}
	u.bytes[caller] += size
	return nil
}

// full refuses a caller who has no room for size more bytes; u.mu is held.
func (u *unread) full(caller string, size int) error {
	if u.bytes[caller]+size <= maxUnread {
		return nil
	}
	return &job.ExhaustedError{
		Reason: reasonUnread, Subject: "client:" + caller, RetryAfter: time.Second,
		Message: fmt.Sprintf("%d MiB of earlier answers wait to be read; read them first", u.bytes[caller]>>20),
	}
}

// check refuses a caller who has no room for a large answer.
func (u *unread) check(caller string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.full(caller, largeAnswer)
}

// force counts size more bytes of a caller, room or not.
func (u *unread) force(caller string, size int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.bytes[caller] += size
}

func (u *unread) release(caller string, size int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.bytes[caller] -= size; u.bytes[caller] <= 0 {
		delete(u.bytes, caller)
	}
}

// outgoing is a large answer on its way; [Codec] writes it.
type outgoing struct {
	proto.Message
	release func()
}

// marshal answers the bytes of the message, which count as unread until the
// transport lets go of them: written, reset, or forgotten with the connection.
func (o *outgoing) marshal() (mem.BufferSlice, error) {
	text, err := proto.Marshal(o.Message)
	if err != nil || mem.IsBelowBufferPoolingThreshold(cap(text)) {
		o.release()
		return mem.BufferSlice{mem.SliceBuffer(text)}, err
	}
	data := &text
	release := sync.OnceFunc(o.release)
	// gRPC does not free what a broken connection leaves behind.
	runtime.AddCleanup(data, func(release func()) { release() }, release)
	return mem.BufferSlice{mem.NewBuffer(data, freed(release))}, nil
}

// freed is a pool that takes buffers back and keeps none.
type freed func()

func (freed) Get(length int) *[]byte { return new(make([]byte, length)) }
func (f freed) Put(*[]byte)          { f() }

// answered counts the size of an answer: as work, which the caller has had and
// pays with its next calls, and as unread.
func (c *Chain) answered(ctx context.Context, call *call, response any) (any, error) {
	message, ok := response.(proto.Message)
	if !ok || call.rule.foreign {
		return response, nil
	}
	size := proto.Size(message)
	if call.limited {
		now := c.Now()
		c.perClient.owe("client:"+call.caller(), size/bytesPerUnit, now)
		if call.instance != 0 {
			c.perInstance.owe("instance:"+job.KindInstance.Format(call.instance), size/bytesPerUnit, now)
		}
	}
	if size < largeAnswer {
		return response, nil
	}
	caller := call.caller()
	if call.rule.changes {
		// What is done can't be refused any more; roomToChange has asked before.
		c.unread.force(caller, size)
	} else if err := c.unread.add(caller, size); err != nil {
		return nil, err
	}
	// Compressed bytes would be others than those that are counted.
	_ = grpc.SetSendCompressor(ctx, "identity") // outside of a server there is none
	return &outgoing{message, func() { c.unread.release(caller, size) }}, nil
}

// roomToChange refuses a change, before it is made, of a caller who reads no
// answers.
func (c *Chain) roomToChange(call *call) error {
	if call.rule.foreign || !call.rule.changes {
		return nil
	}
	return c.unread.check(call.caller())
}
