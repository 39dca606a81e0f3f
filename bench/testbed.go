package main

import (
	"context"
	"errors"
	"os"

	"go.mongodb.org/mongo-driver/v2/mongo"
	mongooptions "go.mongodb.org/mongo-driver/v2/mongo/options"

	"weft/test/harness"
)

// testbed runs what all variants share, a legacy service and a mongod, and the variants of the part that is measured.
type testbed struct {
	options
	shared, part *harness.System
	mongo        *mongo.Client // connected directly
	legacy       *harness.Process
	proxy        *harness.Process // between the variants and mongod; nil if the delay is 0
	readURI      string           // connection string of the variants
	workers      int              // of each Envoy

	variants []*variant
}

// start starts mongod, with a document for each user, and the legacy service.
func (b *testbed) start(ctx context.Context) (err error) {
	if b.shared, err = harness.NewSystem(b.weft); err != nil {
		return err
	}
	if err := b.shared.StartMongod(ctx); err != nil {
		return err
	}
	if b.mongo, err = mongo.Connect(mongooptions.Client().ApplyURI(b.shared.Mongod.URI())); err != nil {
		return err
	}
	if err := seed(ctx, profiles(b.mongo)); err != nil {
		return err
	}
	b.shared.LegacyAddr, b.legacy, err = startSelf(ctx, b.shared, "legacy")
	return err
}

// stop ends all processes and removes their files.
func (b *testbed) stop() (err error) {
	if b.mongo != nil {
		err = b.mongo.Disconnect(context.Background())
	}
	if b.shared != nil {
		err = errors.Join(err, b.shared.Close())
	}
	return err
}

func (b *testbed) stopVariants() error {
	b.variants, b.proxy = nil, nil
	return b.part.Close()
}

// startSelf starts a server of this program and returns its address.
func startSelf(ctx context.Context, s *harness.System, mode string, args ...string) (string, *harness.Process, error) {
	addr, err := harness.FreeAddr()
	if err != nil {
		return "", nil, err
	}
	p, err := s.Start(ctx, harness.Command{
		Name: mode, Path: os.Args[0], Args: append(append([]string{"-listen", addr}, args...), mode),
		Ready: harness.Listening("tcp", addr),
	})
	return addr, p, err
}
