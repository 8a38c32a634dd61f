package main

import (
	"math"
	"sync"
	"sync/atomic"
)

// runClosedLoop keeps the calls in flight: each caller sends again when it has its answer. Calls
// count that end within the counted time, and a latency begins when the call was really sent.
func runClosedLoop(aimed *aim, clock clock, order closedLoopOrder) roundResult {
	var left atomic.Int64
	left.Store(math.MaxInt64)
	if order.CallsMax != nil {
		left.Store(*order.CallsMax)
	}
	callers := make([]*caller, order.InFlight)
	var all sync.WaitGroup
	for number := range callers {
		one := newCaller(aimed, clock, number, order.CountsFrom)
		callers[number] = one
		all.Go(func() { one.loop(order, &left) })
	}
	all.Wait()
	result := resultOf(callers)
	result.InFlightMax = order.InFlight
	return result
}

func (c *caller) loop(order closedLoopOrder, left *atomic.Int64) {
	for c.clock.now() < order.CountsUntil && left.Add(-1) >= 0 {
		made := c.call(c.clock.now() + c.aim.CallSecondsMax)
		if order.CountsFrom <= made.answeredAt && made.answeredAt < order.CountsUntil {
			c.tally.count(made.code, made.answeredAt, made.answeredAt-made.sentAt)
		}
	}
}
