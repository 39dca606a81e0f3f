package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

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

// usages are what each process has used so far.
func usages(pids map[string]int) (map[string]usage, error) {
	used := map[string]usage{}
	for name, pid := range pids {
		var err error
		if used[name], err = usageOf(pid); err != nil {
			return nil, err
		}
	}
	return used, nil
}

// counts are what is counted by those who are measured: to ask for them costs them something, which is not to be measured.
type counts struct {
	queries float64 // that mongod has had so far
	mallocs float64 // objects that weft has allocated so far; 0 for what is no weft
}

func (w *world) counts(ctx context.Context, v *variant) (c counts, err error) {
	if c.mallocs, err = v.mallocs(ctx); err != nil {
		return c, err
	}
	client, err := mongo.Connect(mongooptions.Client().ApplyURI(w.mongod.URI()))
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, client.Disconnect(context.WithoutCancel(ctx))) }()
	var status struct {
		Opcounters struct{ Query int64 }
	}
	err = client.Database("admin").RunCommand(ctx, bson.D{{Key: "serverStatus", Value: 1}}).Decode(&status)
	c.queries = float64(status.Opcounters.Query)
	return c, err
}

// mallocs returns how many objects weft has allocated so far; 0 for what is no weft.
func (v *variant) mallocs(ctx context.Context) (float64, error) {
	if v.admin == "" {
		return 0, nil
	}
	text, err := get(ctx, "http://"+v.admin+"/metrics")
	if err != nil {
		return 0, err
	}
	const name = "\ngo_memstats_mallocs_total "
	_, rest, _ := strings.Cut(string(text), name)
	value, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return 0, fmt.Errorf("weft's metrics have no%s: %w", strings.TrimSpace(name), err)
	}
	return n, nil
}

func get(ctx context.Context, url string) (body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}
