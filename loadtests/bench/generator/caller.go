package main

import (
	"context"
	"math"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// call is one call and its answer: an OK's message, else the google.rpc.Status with details.
type call struct {
	sentAt     float64
	answeredAt float64
	code       codes.Code
	body       []byte
}

// caller makes one call at a time and counts those that belong to the round. What it needs is its
// own, so that callers do not wait for one another.
type caller struct {
	aim        *aim
	clock      clock
	connection *connection
	ids        *identities
	tally      tally
}

// tally counts calls by status and by the second of their end, and has their latencies.
type tally struct {
	countsFrom    float64
	callsBySecond map[int][]int64
	latencies     []float64
}

func newCaller(aimed *aim, clock clock, number int, countsFrom float64) *caller {
	return &caller{
		aim:        aimed,
		clock:      clock,
		connection: aimed.connections[number%len(aimed.connections)],
		ids:        newIdentities(&aimed.target),
		tally:      tally{countsFrom: countsFrom, callsBySecond: map[int][]int64{}},
	}
}

// call sends one request with new ids.
func (c *caller) call(deadline float64) call {
	request, items := c.aim.layout.request(c.ids)
	return c.send(request, items, deadline)
}

// send keeps and returns what came back before the deadline.
func (c *caller) send(
	request []byte, items []item, deadline float64, options ...grpc.CallOption,
) call {
	ctx, cancel := context.WithDeadline(c.aim.context, c.clock.at(deadline))
	defer cancel()
	made := call{sentAt: c.clock.now()}
	err := c.connection.Invoke(ctx, c.aim.Path, request, &made.body, options...)
	made.answeredAt = c.clock.now()
	if err != nil {
		made.code, made.body = codeAndDetails(err)
	}
	c.aim.journal.record(made, items)
	return made
}

func codeAndDetails(err error) (codes.Code, []byte) {
	told := status.Convert(err)
	if len(told.Proto().GetDetails()) == 0 {
		return told.Code(), nil
	}
	body, err := proto.Marshal(told.Proto())
	if err != nil {
		return codes.Internal, nil
	}
	return told.Code(), body
}

// count takes a call in that belongs to the round.
func (t *tally) count(code codes.Code, answeredAt, latency float64) {
	seconds := t.callsBySecond[int(code)]
	second := int(answeredAt - t.countsFrom)
	for len(seconds) <= second {
		seconds = append(seconds, 0)
	}
	seconds[second]++
	t.callsBySecond[int(code)] = seconds
	t.latencies = append(t.latencies, math.Round(latency*1e6)/1e6)
}

// resultOf adds the callers' tallies up.
func resultOf(callers []*caller) roundResult {
	result := roundResult{
		Type:             "round_result",
		CallsBySecond:    map[int][]int64{},
		LatenciesSeconds: []float64{},
	}
	for _, one := range callers {
		for code, seconds := range one.tally.callsBySecond {
			result.CallsBySecond[code] = sums(result.CallsBySecond[code], seconds)
		}
		result.LatenciesSeconds = append(result.LatenciesSeconds, one.tally.latencies...)
	}
	return result
}

// sums adds the numbers of two lists place by place, in the longer one.
func sums(one, other []int64) []int64 {
	if len(one) < len(other) {
		one, other = other, one
	}
	for place, number := range other {
		one[place] += number
	}
	return one
}
