package main

import (
	"encoding/json"
	"fmt"
)

// An order's `type` says which of the following it is.
type connectOrder struct {
	Target      target `json:"target"`
	Connections int    `json:"connections"`
}

type keepOrder struct {
	Target string `json:"target"`
	Ports  []int  `json:"ports"`
}

type closedLoopOrder struct {
	Target      string  `json:"target"`
	InFlight    int     `json:"in_flight"`
	CountsFrom  float64 `json:"counts_from"`
	CountsUntil float64 `json:"counts_until"`
	CallsMax    *int64  `json:"calls_max"`
}

type openLoopOrder struct {
	Target         string  `json:"target"`
	CallsPerSecond float64 `json:"calls_per_second"`
	CountsFrom     float64 `json:"counts_from"`
	CountsUntil    float64 `json:"counts_until"`
	InFlightMax    int     `json:"in_flight_max"`
}

type patientLoopOrder struct {
	Target         string  `json:"target"`
	Callers        int     `json:"callers"`
	Until          float64 `json:"until"`
	ArrivalSeconds float64 `json:"arrival_seconds"`
	SettlesOnly    bool    `json:"settles_only"`
}

type nameOrder struct {
	Target string `json:"target"`
}

// target is a server's method, and what to send there.
type target struct {
	Name           string   `json:"name"`
	Address        string   `json:"address"`
	Path           string   `json:"path"`
	APIKey         string   `json:"api_key"`
	Template       template `json:"template"`
	Customers      []string `json:"customers"`
	Offers         []string `json:"offers"`
	CallSecondsMax float64  `json:"call_seconds_max"`
	CallsFile      string   `json:"calls_file"`
}

// Answers, told apart by their `type` as well.
type connected struct {
	Type  string `json:"type"`
	Ports []int  `json:"ports"`
}

type roundResult struct {
	Type             string          `json:"type"`
	CallsBySecond    map[int][]int64 `json:"calls_by_second"`
	LatenciesSeconds []float64       `json:"latencies_seconds"`
	Late             int64           `json:"late"`
	InFlightMax      int             `json:"in_flight_max"`
}

type patienceResult struct {
	Type         string `json:"type"`
	OpenRequests int    `json:"open_requests"`
	Unguided     int    `json:"unguided"`
}

type done struct {
	Type string `json:"type"`
}

type failed struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
}

// generator has the targets that orders name.
type generator struct {
	clock clock
	aims  map[string]*aim
}

func newGenerator(clock clock) *generator {
	return &generator{clock: clock, aims: map[string]*aim{}}
}

// obey carries out the order in a line of JSON and returns its answer.
func (g *generator) obey(line []byte) any {
	answer, err := g.carryOut(line)
	if err != nil {
		return failed{"failed", err.Error()}
	}
	return answer
}

func (g *generator) carryOut(line []byte) (any, error) {
	var kind struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(line, &kind); err != nil {
		return nil, err
	}
	switch kind.Type {
	case "connect":
		return withOrder(line, g.connect)
	case "keep":
		return withOrder(line, g.keep)
	case "closed_loop":
		return withOrder(line, g.closedLoop)
	case "open_loop":
		return withOrder(line, g.openLoop)
	case "patient_loop":
		return withOrder(line, g.patientLoop)
	case "flush":
		return withOrder(line, g.flush)
	case "drop":
		return withOrder(line, g.drop)
	}
	return nil, fmt.Errorf("no such order: %q", kind.Type)
}

func withOrder[T any](line []byte, carryOut func(T) (any, error)) (any, error) {
	var order T
	if err := json.Unmarshal(line, &order); err != nil {
		return nil, err
	}
	return carryOut(order)
}

// connect opens further connections to the target and answers all its local ports.
func (g *generator) connect(order connectOrder) (any, error) {
	found, known := g.aims[order.Target.Name]
	if !known {
		var err error
		if found, err = newAim(order.Target); err != nil {
			return nil, err
		}
		g.aims[order.Target.Name] = found
	}
	if err := found.connect(order.Connections); err != nil {
		return nil, err
	}
	return connected{"connected", found.ports()}, nil
}

// keep closes all connections but those with the ports.
func (g *generator) keep(order keepOrder) (any, error) {
	found, err := g.aim(order.Target)
	if err != nil {
		return nil, err
	}
	found.keep(order.Ports)
	return connected{"connected", found.ports()}, nil
}

func (g *generator) closedLoop(order closedLoopOrder) (any, error) {
	found, err := g.loaded(order.Target, order.InFlight)
	if err != nil {
		return nil, err
	}
	return runClosedLoop(found, g.clock, order), nil
}

func (g *generator) openLoop(order openLoopOrder) (any, error) {
	found, err := g.loaded(order.Target, order.InFlightMax)
	if err != nil {
		return nil, err
	}
	if !(order.CallsPerSecond > 0) {
		return nil, fmt.Errorf("%v calls a second: a rate above 0 is needed", order.CallsPerSecond)
	}
	return runOpenLoop(found, g.clock, order), nil
}

func (g *generator) patientLoop(order patientLoopOrder) (any, error) {
	found, err := g.loaded(order.Target, order.Callers)
	if err != nil {
		return nil, err
	}
	return runPatientLoop(found, g.clock, order), nil
}

// flush writes out what is kept of the target's calls.
func (g *generator) flush(order nameOrder) (any, error) {
	found, err := g.aim(order.Target)
	if err != nil {
		return nil, err
	}
	return done{"done"}, found.journal.flush()
}

// drop closes the target's connections and forgets it; its file of calls stays.
func (g *generator) drop(order nameOrder) (any, error) {
	found, err := g.aim(order.Target)
	if err != nil {
		return nil, err
	}
	delete(g.aims, order.Target)
	return done{"done"}, found.close()
}

func (g *generator) aim(name string) (*aim, error) {
	if found, known := g.aims[name]; known {
		return found, nil
	}
	return nil, fmt.Errorf("no such target: %q", name)
}

// loaded is the target if it can take calls.
func (g *generator) loaded(name string, inFlight int) (*aim, error) {
	found, err := g.aim(name)
	if err != nil {
		return nil, err
	}
	if len(found.connections) == 0 || inFlight < 1 {
		return nil, fmt.Errorf("%q needs a connection and a call in flight", name)
	}
	return found, nil
}
