package main

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
)

const (
	// connectSeconds is more than a local server needs, however busy it is.
	connectSeconds = 20
	// windowBytes holds every answer in flight. Being fixed, it needs no probing pings, which
	// would be work for the server.
	windowBytes = 1 << 20
)

// connection is one TCP connection: gRPC for Go shares none between its clients.
type connection struct {
	*grpc.ClientConn
	localPort atomic.Int64
}

// dial returns when the server takes calls on the connection.
func dial(address string) (*connection, error) {
	dialled := &connection{}
	client, err := grpc.NewClient(
		"passthrough:///"+address,
		grpc.WithContextDialer(dialled.dialTCP),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})),
		grpc.WithStaticStreamWindowSize(windowBytes),
		grpc.WithStaticConnWindowSize(windowBytes),
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
	)
	if err != nil {
		return nil, err
	}
	dialled.ClientConn = client
	return dialled, dialled.waitUntilReady(address)
}

func (c *connection) dialTCP(ctx context.Context, address string) (net.Conn, error) {
	opened, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err == nil {
		c.localPort.Store(int64(opened.LocalAddr().(*net.TCPAddr).Port))
	}
	return opened, err
}

func (c *connection) waitUntilReady(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), connectSeconds*time.Second)
	defer cancel()
	c.Connect()
	for state := c.GetState(); state != connectivity.Ready; state = c.GetState() {
		if state == connectivity.TransientFailure || !c.WaitForStateChange(ctx, state) {
			c.Close()
			return fmt.Errorf("no server takes calls at %s", address)
		}
	}
	return nil
}

// rawCodec passes bytes through: a request is a []byte, an answer goes into a *[]byte.
type rawCodec struct{}

func (rawCodec) Marshal(message any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(message.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, message any) error {
	*message.(*[]byte) = data.Materialize()
	return nil
}

func (rawCodec) Name() string {
	return "proto"
}
