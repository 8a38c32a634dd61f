package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// clock tells seconds of the machine's monotonic clock, which all processes share: the orders'
// times are from Python's time.monotonic. It reads Go's clock, which needs no system call.
type clock struct {
	zero    time.Time
	seconds float64
}

func newClock() clock {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err)
	}
	return clock{time.Now(), float64(now.Sec) + float64(now.Nsec)/1e9}
}

func (c clock) now() float64 {
	return c.seconds + time.Since(c.zero).Seconds()
}

// at is the moment as Go's own time.
func (c clock) at(seconds float64) time.Time {
	return c.zero.Add(time.Duration((seconds - c.seconds) * float64(time.Second)))
}

// sleepUntil returns at once for a moment that has passed, else up to a millisecond after it.
func (c clock) sleepUntil(seconds float64) {
	time.Sleep(time.Until(c.at(seconds)))
}
