package main

import (
	crand "crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"time"
)

// identities draws the ids of one caller's requests; callers share nothing but the lists.
type identities struct {
	random    *rand.Rand
	customers []string
	offers    []string
}

func newIdentities(aimed *target) *identities {
	return &identities{newRandom(), aimed.Customers, aimed.Offers}
}

// newRandom gives a sequence that no other caller and no earlier run has.
func newRandom() *rand.Rand {
	var seed [32]byte
	crand.Read(seed[:])
	return rand.New(rand.NewChaCha8(seed))
}

// item draws a fresh request id, and a customer and an offer if there are any.
func (i *identities) item() item {
	return item{i.uuid7(), i.draw(len(i.customers)), i.draw(len(i.offers))}
}

func (i *identities) draw(count int) uint32 {
	if count < 2 {
		return 0
	}
	return i.random.Uint32N(uint32(count))
}

// uuid7 is as callers make request ids: by time, so that the index over them grows at its end.
func (i *identities) uuid7() [16]byte {
	var id [16]byte
	milliseconds := uint64(time.Now().UnixMilli())
	binary.BigEndian.PutUint64(id[:8], milliseconds<<16|i.random.Uint64()&0x0fff|0x7000)
	binary.BigEndian.PutUint64(id[8:], i.random.Uint64()>>2|1<<63)
	return id
}

// write puts the field's id as text at the start of the buffer.
func (i *identities) write(buffer []byte, field string, made item) {
	switch field {
	case "request_id":
		writeUUID(buffer, made.requestID)
	case "customer_id":
		copy(buffer, i.customers[made.customer])
	case "offer_id":
		copy(buffer, i.offers[made.offer])
	}
}

func writeUUID(buffer []byte, id [16]byte) {
	hex.Encode(buffer[0:8], id[0:4])
	hex.Encode(buffer[9:13], id[4:6])
	hex.Encode(buffer[14:18], id[6:8])
	hex.Encode(buffer[19:23], id[8:10])
	hex.Encode(buffer[24:36], id[10:16])
	for _, place := range [4]int{8, 13, 18, 23} {
		buffer[place] = '-'
	}
}
