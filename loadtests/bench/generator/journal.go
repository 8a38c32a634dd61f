package main

import (
	"encoding/binary"
	"math"
	"os"
	"sync"
)

const (
	// frameBytes bounds what is kept in memory, and what a reader decodes at a time.
	frameBytes = 1 << 18
	// frameHeadBytes are the frame's length and the head of its list.
	frameHeadBytes = 4 + 5
)

// journal keeps calls in a file while they are made, in frames: four bytes of length, then
// msgpack of a list of calls, as ../calls.py reads it. Without a file it keeps nothing.
type journal struct {
	mutex sync.Mutex
	file  *os.File
	frame []byte
	calls uint32
	// The first write that failed; flush tells.
	err error
}

func newJournal(path string) (*journal, error) {
	if path == "" {
		return &journal{}, nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	return &journal{file: file, frame: make([]byte, frameHeadBytes, 2*frameBytes)}, err
}

// record keeps a call with what its items were made of.
func (j *journal) record(made call, items []item) {
	if j.file == nil {
		return
	}
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.frame = appendCall(j.frame, made, items)
	j.calls++
	if len(j.frame) >= frameBytes {
		j.write()
	}
}

// flush puts everything into the file, or says why that could not be done.
func (j *journal) flush() error {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if j.calls > 0 {
		j.write()
	}
	return j.err
}

func (j *journal) write() {
	binary.BigEndian.PutUint32(j.frame, uint32(len(j.frame)-4))
	j.frame[4] = 0xdd
	binary.BigEndian.PutUint32(j.frame[5:], j.calls)
	if _, err := j.file.Write(j.frame); err != nil && j.err == nil {
		j.err = err
	}
	j.frame, j.calls = j.frame[:frameHeadBytes], 0
}

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	flushed := j.flush()
	if err := j.file.Close(); err != nil {
		return err
	}
	return flushed
}

// appendCall adds a call in msgpack: its times, code and body, and the ids of its items.
func appendCall(frame []byte, made call, items []item) []byte {
	frame = append(frame, 0x95)
	frame = appendFloat(frame, made.sentAt)
	frame = appendFloat(frame, made.answeredAt)
	frame = append(frame, byte(made.code))
	frame = append(frame, 0xc6)
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(made.body)))
	frame = append(frame, made.body...)
	frame = append(frame, 0xdd)
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(items)))
	for _, one := range items {
		frame = append(frame, 0x93, 0xc4, 16)
		frame = append(frame, one.requestID[:]...)
		frame = append(frame, 0xce)
		frame = binary.BigEndian.AppendUint32(frame, one.customer)
		frame = append(frame, 0xce)
		frame = binary.BigEndian.AppendUint32(frame, one.offer)
	}
	return frame
}

func appendFloat(frame []byte, value float64) []byte {
	frame = append(frame, 0xcb)
	return binary.BigEndian.AppendUint64(frame, math.Float64bits(value))
}
