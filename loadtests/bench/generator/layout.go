package main

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// idBytes is the length of an id as text, so every message of a target is equally long.
const idBytes = 36

// template is a message cut where ids go: piece, field, piece, field, ..., piece.
type template struct {
	Pieces     [][]byte `json:"pieces"`
	Fields     []string `json:"fields"`
	Items      int      `json:"items"`
	ItemsField int      `json:"items_field"`
}

// layout is a template made ready: the bytes of one item, and where the ids go in them.
type layout struct {
	item  []byte
	slots []slot
	items int
}

type slot struct {
	offset int
	field  string
}

// item says what one item of a request was made of.
type item struct {
	requestID [16]byte
	customer  uint32
	offer     uint32
}

// newLayout checks the template. With 0 items a request is the message itself, else so many
// messages, each an element of the repeated field.
func newLayout(from template) (layout, error) {
	if len(from.Pieces) != len(from.Fields)+1 {
		return layout{}, errors.New("a template has one piece more than fields")
	}
	length := len(from.Fields) * idBytes
	for _, piece := range from.Pieces {
		length += len(piece)
	}
	made := layout{items: 1}
	if from.Items > 0 {
		made.items = from.Items
		made.item = binary.AppendUvarint(made.item, uint64(from.ItemsField)<<3|2)
		made.item = binary.AppendUvarint(made.item, uint64(length))
	}
	made.item = append(made.item, from.Pieces[0]...)
	for number, field := range from.Fields {
		if field != "request_id" && field != "customer_id" && field != "offer_id" {
			return layout{}, fmt.Errorf("no such field: %q", field)
		}
		made.slots = append(made.slots, slot{len(made.item), field})
		made.item = append(made.item, make([]byte, idBytes)...)
		made.item = append(made.item, from.Pieces[number+1]...)
	}
	return made, nil
}

// request is a new message with new ids, and what they are.
func (l *layout) request(ids *identities) ([]byte, []item) {
	request := make([]byte, 0, len(l.item)*l.items)
	items := make([]item, l.items)
	for number := range items {
		made := ids.item()
		start := len(request)
		request = append(request, l.item...)
		for _, slot := range l.slots {
			ids.write(request[start+slot.offset:], slot.field, made)
		}
		items[number] = made
	}
	return request, items
}
