package main

import (
	"math/rand/v2"

	"google.golang.org/grpc/codes"
)

// runOpenLoop sends at random moments that do not depend on the answers, as customers do who know
// nothing of each other (a Poisson process: it has bursts, which an even spacing would hide).
// A latency begins at the intended moment, so that a stall counts for every call it delayed and
// not only for those it held. Calls count whose intended moment is within the counted time.
func runOpenLoop(aimed *aim, clock clock, order openLoopOrder) roundResult {
	free := make(chan *caller, order.InFlightMax)
	callers := make([]*caller, order.InFlightMax)
	for number := range callers {
		callers[number] = newCaller(aimed, clock, number, order.CountsFrom)
		free <- callers[number]
	}
	plan := openPlan{order: order, clock: clock, free: free, random: newRandom()}
	plan.send()
	for range callers {
		<-free
	}
	result := resultOf(callers)
	result.Late, result.InFlightMax = plan.late, plan.inFlightMax
	return result
}

// openPlan hands planned moments to the callers that are free.
type openPlan struct {
	order       openLoopOrder
	clock       clock
	free        chan *caller
	random      *rand.Rand
	late        int64
	inFlightMax int
	// Until then every caller was taken.
	blockedUntil float64
}

func (p *openPlan) send() {
	for moment := p.next(p.clock.now()); moment < p.order.CountsUntil; moment = p.next(moment) {
		p.clock.sleepUntil(moment)
		one := p.take(moment)
		p.inFlightMax = max(p.inFlightMax, p.order.InFlightMax-len(p.free))
		go func() {
			one.callAt(moment, p.order)
			p.free <- one
		}()
	}
}

func (p *openPlan) next(moment float64) float64 {
	return moment + p.random.ExpFloat64()/p.order.CallsPerSecond
}

// take waits for a free caller. A call is late when there was none at its moment; it is still
// sent.
func (p *openPlan) take(moment float64) *caller {
	select {
	case one := <-p.free:
		p.countLate(moment)
		return one
	default:
	}
	one := <-p.free
	p.blockedUntil = p.clock.now()
	p.countLate(moment)
	return one
}

func (p *openPlan) countLate(moment float64) {
	if moment < p.blockedUntil && moment >= p.order.CountsFrom {
		p.late++
	}
}

// callAt gives up with the deadline that counts from the intended moment, even before sending:
// so a server that stands still cannot keep a round from its end.
func (c *caller) callAt(moment float64, order openLoopOrder) {
	code, answeredAt := codes.DeadlineExceeded, c.clock.now()
	if deadline := moment + c.aim.CallSecondsMax; answeredAt < deadline {
		made := c.call(deadline)
		code, answeredAt = made.code, made.answeredAt
	}
	if moment >= order.CountsFrom {
		c.tally.count(code, answeredAt, answeredAt-moment)
	}
}
