package main

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/grpc/metadata"
)

// aim is a target that is connected.
type aim struct {
	target
	layout      layout
	connections []*connection
	journal     *journal
	patience    patience
	// Every call's metadata.
	context context.Context
}

func newAim(aimed target) (*aim, error) {
	made, err := newLayout(aimed.Template)
	if err != nil {
		return nil, err
	}
	for _, ids := range [][]string{aimed.Customers, aimed.Offers} {
		if slices.ContainsFunc(ids, func(id string) bool { return len(id) != idBytes }) {
			return nil, errors.New("an id is a UUID as text")
		}
	}
	if slices.Contains(aimed.Template.Fields, "customer_id") && len(aimed.Customers) == 0 ||
		slices.Contains(aimed.Template.Fields, "offer_id") && len(aimed.Offers) == 0 {
		return nil, errors.New("there is nothing to draw a field from")
	}
	kept, err := newJournal(aimed.CallsFile)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	if aimed.APIKey != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+aimed.APIKey)
	}
	return &aim{target: aimed, layout: made, journal: kept, context: ctx}, nil
}

// connect opens so many connections more, one after the other.
func (a *aim) connect(count int) error {
	for range count {
		opened, err := dial(a.Address)
		if err != nil {
			return err
		}
		a.connections = append(a.connections, opened)
	}
	return nil
}

// ports are the connections' own, by which their other ends can be found.
func (a *aim) ports() []int {
	ports := make([]int, len(a.connections))
	for number, one := range a.connections {
		ports[number] = int(one.localPort.Load())
	}
	return ports
}

// keep closes the connections with other ports.
func (a *aim) keep(ports []int) {
	kept := a.connections[:0]
	for _, one := range a.connections {
		if slices.Contains(ports, int(one.localPort.Load())) {
			kept = append(kept, one)
		} else {
			one.Close()
		}
	}
	a.connections = kept
}

func (a *aim) close() error {
	a.keep(nil)
	return a.journal.close()
}
