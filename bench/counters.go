package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// counters only grow; a measurement is the difference of two.
type counters struct {
	cpu     map[string]time.Duration // by process
	queries int64                    // of mongod
	mallocs float64                  // heap objects that weft has allocated; 0 for others
}

// count reads the counters of a variant's processes.
func (b *testbed) count(ctx context.Context, v *variant, pids map[string]int) (c counters, err error) {
	if c.mallocs, err = v.mallocs(ctx); err != nil {
		return c, err
	}
	var status struct{ Opcounters struct{ Query int64 } }
	err = b.mongo.Database("admin").RunCommand(ctx, bson.D{{Key: "serverStatus", Value: 1}}).Decode(&status)
	if err != nil {
		return c, err
	}
	c.queries = status.Opcounters.Query
	c.cpu = map[string]time.Duration{}
	for name, pid := range pids {
		if c.cpu[name], err = cpuTime(pid); err != nil {
			return c, err
		}
	}
	return c, nil
}

// mallocs returns the number of heap objects that weft has allocated, or 0 if v is not weft.
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
		return 0, fmt.Errorf("weft's metrics have no %s: %w", strings.TrimSpace(name), err)
	}
	return n, nil
}

func get(ctx context.Context, url string) (body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return io.ReadAll(response.Body)
}
