package main

import (
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

const (
	pushbackTrailer = "grpc-retry-pushback-ms"
	// A caller who is told nothing comes back after these, doubled each time.
	backoffSecondsMin = 0.1
	backoffSecondsMax = 2.0
)

// openRequest is one whose outcome is not known yet: it is sent again with the same ids.
type openRequest struct {
	request []byte
	items   []item
}

// patience is what the callers of a target share: the requests that are open, and how many answers
// sent a caller away without saying for how long.
type patience struct {
	mutex    sync.Mutex
	open     []openRequest
	unguided int
}

// take gives an open request, if there is one.
func (p *patience) take() (openRequest, bool) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	last := len(p.open) - 1
	if last < 0 {
		return openRequest{}, false
	}
	taken := p.open[last]
	p.open = p.open[:last]
	return taken, true
}

func (p *patience) leave(request openRequest) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.open = append(p.open, request)
}

func (p *patience) countUnguided() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.unguided++
}

// runPatientLoop has callers who send a request again, when the server lets them, until they know
// its outcome; then they go on to the next one. They arrive one after the other.
func runPatientLoop(aimed *aim, clock clock, order patientLoopOrder) patienceResult {
	began := clock.now()
	var all sync.WaitGroup
	for number := range order.Callers {
		one := newCaller(aimed, clock, number, began)
		arrival := began + order.ArrivalSeconds*float64(number)/float64(order.Callers)
		all.Go(func() {
			clock.sleepUntil(arrival)
			one.loopPatiently(order)
		})
	}
	all.Wait()
	return patienceResult{"patience_result", len(aimed.patience.open), aimed.patience.unguided}
}

func (c *caller) loopPatiently(order patientLoopOrder) {
	for c.clock.now() < order.Until {
		request, known := c.aim.patience.take()
		if !known {
			if order.SettlesOnly {
				return
			}
			request.request, request.items = c.aim.layout.request(c.ids)
		}
		if !c.pursue(request, order.Until) {
			c.aim.patience.leave(request)
		}
	}
}

// pursue sends the request until its outcome is known, or says that the time was over before.
func (c *caller) pursue(request openRequest, until float64) bool {
	backoff := backoffSecondsMin
	for {
		var trailers metadata.MD
		made := c.send(
			request.request, request.items, c.clock.now()+c.aim.CallSecondsMax, grpc.Trailer(&trailers),
		)
		if isDefinite(made.code) {
			return true
		}
		wait, told := pushbackIn(trailers)
		if !told {
			// Without a body it was the connection that failed.
			if made.code == codes.Unavailable && len(made.body) > 0 {
				c.aim.patience.countUnguided()
			}
			wait = backoff * (0.5 + c.ids.random.Float64()/2)
			backoff = min(2*backoff, backoffSecondsMax)
		}
		if c.clock.now()+wait >= until {
			c.clock.sleepUntil(until)
			return false
		}
		time.Sleep(time.Duration(wait * float64(time.Second)))
	}
}

func isDefinite(code codes.Code) bool {
	switch code {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Aborted, codes.Canceled:
		return false
	}
	return true
}

func pushbackIn(trailers metadata.MD) (float64, bool) {
	values := trailers.Get(pushbackTrailer)
	if len(values) != 1 {
		return 0, false
	}
	milliseconds, err := strconv.Atoi(values[0])
	return float64(milliseconds) / 1000, err == nil
}
