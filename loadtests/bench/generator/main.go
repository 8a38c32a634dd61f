// The load generator of the throughput benchmark.
//
// It reads one JSON order a line from standard input and answers each with one JSON line; the
// orders are described in ../orders.py. It ends when its standard input does, also in the middle
// of an order, so that it never outlives the benchmark.
//
// A call costs little here because nothing is parsed: requests are copied from a layout made once,
// and answers are kept as bytes.
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"os"
	"runtime"
	"runtime/debug"
)

const (
	// processorsMax is enough for ten times what the servers answer. A second one would mostly
	// look for work to share, which costs a third more of CPU a call.
	processorsMax = 1
	// heapGrowthPercent lets the few megabytes in use grow tenfold before they are collected:
	// a collection takes its time from the calls that are being measured.
	heapGrowthPercent = 1000
)

func main() {
	runtime.GOMAXPROCS(processorsMax)
	debug.SetGCPercent(heapGrowthPercent)
	lines := make(chan []byte)
	go readLines(lines)
	generator := newGenerator(newClock())
	answers := json.NewEncoder(os.Stdout)
	for line := range lines {
		if err := answers.Encode(generator.obey(line)); err != nil {
			log.Fatalf("the answer could not be written: %v", err)
		}
	}
}

// readLines hands over each line, and ends the process after the last.
func readLines(lines chan<- []byte) {
	input := bufio.NewReader(os.Stdin)
	for {
		line, err := input.ReadBytes('\n')
		if err != nil {
			os.Exit(0)
		}
		lines <- line
	}
}
