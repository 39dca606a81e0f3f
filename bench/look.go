package main

import (
	"context"
	"errors"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	mongooptions "go.mongodb.org/mongo-driver/v2/mongo/options"
)

// locked lets one worker at a time draw a target.
func locked(t vegeta.Targeter) vegeta.Targeter {
	var mu sync.Mutex
	return func(target *vegeta.Target) error {
		mu.Lock()
		defer mu.Unlock()
		return t(target)
	}
}

// look reads what each process has used so far, and how many queries mongod has had.
func (w *world) look(ctx context.Context, pids map[string]int) (used map[string]time.Duration, queries int64, err error) {
	used = map[string]time.Duration{}
	for name, pid := range pids {
		if used[name], err = cpuTime(pid); err != nil {
			return nil, 0, err
		}
	}
	client, err := mongo.Connect(mongooptions.Client().ApplyURI(w.mongod.URI()))
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, client.Disconnect(context.WithoutCancel(ctx))) }()
	var status struct {
		Opcounters struct{ Query int64 }
	}
	err = client.Database("admin").RunCommand(ctx, bson.D{{Key: "serverStatus", Value: 1}}).Decode(&status)
	return used, status.Opcounters.Query, err
}
