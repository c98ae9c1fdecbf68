package acc

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// All who use an app together stay below its limit in every minute.
func TestOneLimitForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newApp(1)
		var mu sync.Mutex
		var at []time.Time
		var users sync.WaitGroup
		for range 10 {
			users.Go(func() {
				for range 20 {
					if err := a.wait(t.Context(), opCreateItem, func() {}); err != nil {
						t.Error(err)
					}
					mu.Lock()
					at = append(at, time.Now())
					mu.Unlock()
				}
			})
		}
		began := time.Now()
		users.Wait()
		for i := 50; i < len(at); i++ {
			if at[i].Sub(at[i-50]) < time.Minute {
				t.Fatalf("51 requests within %v", at[i].Sub(at[i-50]))
			}
		}
		if took := time.Since(began); took > 5*time.Minute {
			t.Errorf("200 requests took %v, more than documented limits ask for", took)
		}
	})
}

func TestHoldingAndGivingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newApp(1)
		a.hold(opContents, 30*time.Second)
		began, slow := time.Now(), 0
		if err := a.wait(t.Context(), opContents, func() { slow++ }); err != nil || time.Since(began) != 30*time.Second || slow != 1 {
			t.Errorf("waited %v, told %d times, %v", time.Since(began), slow, err)
		}
		if err := a.wait(t.Context(), opStorage, func() {}); err != nil || time.Since(began) != 30*time.Second {
			t.Errorf("another operation waited too: %v, %v", time.Since(began), err)
		}
		a.hold(opContents, time.Hour)
		why := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(why) })
		if err := a.wait(ctx, opContents, func() {}); !errors.Is(err, why) || time.Since(began) != 31*time.Second {
			t.Errorf("given up after %v: %v", time.Since(began), err)
		}
	})
}

func TestAppsAreSharedAndForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := appFor("e", "forget-1", 1)
		if appFor("e", "forget-1", 1) != one || appFor("e", "forget-2", 1) == one || appFor("f", "forget-1", 1) == one {
			t.Error("an app is its endpoint and client id")
		}
		time.Sleep(idle + time.Second)
		for i := range manyApps + 1 {
			appFor("e", "forget-many-"+time.Duration(i).String(), 1)
		}
		if appFor("e", "forget-1", 1) == one {
			t.Error("an idle app was kept although there are many")
		}
	})
}
