package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	userprofile "weft/examples/user-profile"
	"weft/test/harness"
)

// hasCaches reports whether the page has buttons for caches: they need the demo's own rules and MongoDB.
func (r *runner) hasCaches() bool { return r.caches != nil && r.mongoPort != 0 }

// caches switches weft's caches on and off in the rules file.
type caches struct {
	rules string // path
	admin string // host:port of weft's metrics

	mu   sync.Mutex
	isOn bool // guarded by mu
}

// pageRules returns the rules for a page: the built-in ones, and clients may select members on the page's path.
func pageRules(hasCaches bool) string {
	replace := []string{"  - name: composite-profile\n", "  - name: composite-profile\n    select: {param: fields}\n"}
	if hasCaches {
		replace = append(replace,
			"        database:", "        cache: {stale_if_error: 10m}\n        database:",
			"    core: &core\n", "    core: &core\n      stale_if_error: 10m\n")
	}
	return strings.NewReplacer(replace...).Replace(string(userprofile.Rules))
}

func (c *caches) status() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isOn {
		return "on"
	}
	return "off"
}

// do switches the caches with "on" or "off". It returns when weft has the rules, or is down.
func (c *caches) do(ctx context.Context, verb string) error {
	if verb != "on" && verb != "off" {
		return fmt.Errorf("%q: %w; want on or off", verb, errVerb)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.write(verb == "on"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(pageRules(c.isOn))))[:12]
	return harness.Await(ctx, func(ctx context.Context) error {
		answer, err := harness.Get(ctx, "http://"+c.admin+"/metrics")
		if err == nil && !strings.Contains(answer.Body, hash) {
			return errors.New("weft does not reload its rules")
		}
		return nil // an error: weft is down, and reads the rules when it starts
	})
}

// write replaces the rules file.
func (c *caches) write(isOn bool) error {
	if err := os.WriteFile(c.rules+".new", []byte(pageRules(isOn)), 0o600); err != nil {
		return err
	}
	if err := os.Rename(c.rules+".new", c.rules); err != nil {
		return err
	}
	c.isOn = isOn
	return nil
}

// faultFile has the fault of all requests to the legacy service.
func (r *runner) faultFile() string { return filepath.Join(r.data, "legacy-fault") }

// legacyFault makes the legacy service fail for all requests. It has the path of the fault file.
type legacyFault struct{ file string }

func (f legacyFault) status() string {
	if _, err := os.Stat(f.file); err == nil {
		return "failing"
	}
	return running
}

// do makes the legacy service fail with "fail", and respond with "run".
func (f legacyFault) do(_ context.Context, verb string) error {
	switch verb {
	case "fail":
		return os.WriteFile(f.file, []byte("503"), 0o600)
	case "run":
		if err := os.Remove(f.file); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return fmt.Errorf("%q: %w; want run or fail", verb, errVerb)
}

// write adds 1 to the score of a document, and inserts a missing document.
func (r *runner) write(w http.ResponseWriter, q *http.Request) {
	id, err := strconv.ParseInt(q.PathValue("id"), 10, 64)
	if err != nil || !r.hasCaches() {
		http.Error(w, "no such document", http.StatusNotFound)
		return
	}
	ctx, cancel := context.WithTimeout(q.Context(), 3*time.Second)
	defer cancel()
	score, err := addToScore(ctx, r.mongodbURI, id)
	if err != nil {
		http.Error(w, "MongoDB does not respond: "+reason(err), http.StatusServiceUnavailable)
		return
	}
	writeJSON(w, map[string]float64{"lastActivityScore": score})
}

func addToScore(ctx context.Context, uri string, id int64) (score float64, err error) {
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, client.Disconnect(context.WithoutCancel(ctx))) }()
	isNumber := bson.D{{Key: "$isNumber", Value: "$lastActivityScore"}}
	current := bson.D{{Key: "$cond", Value: bson.A{isNumber, "$lastActivityScore", 0.0}}}
	next := bson.D{{Key: "lastActivityScore", Value: bson.D{{Key: "$add", Value: bson.A{current, 1}}}}}
	var document struct {
		Score float64 `bson:"lastActivityScore"`
	}
	err = client.Database("user_profiles").Collection("profiles").FindOneAndUpdate(ctx,
		bson.D{{Key: "userId", Value: id}}, mongo.Pipeline{{{Key: "$set", Value: next}}},
		options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After)).Decode(&document)
	return document.Score, err
}

// replicaSet is the name of the demo's replica set.
const replicaSet = "demo"

// awaitPrimary makes a mongod the only member of its replica set, and waits until it accepts writes. Change streams
// need a replica set.
func awaitPrimary(ctx context.Context, mongod *harness.Mongod) error {
	host := strings.TrimPrefix(mongod.URI(), "mongodb://")
	set := bson.D{
		{Key: "_id", Value: replicaSet},
		{Key: "version", Value: time.Now().Unix()},
		{Key: "members", Value: bson.A{bson.D{{Key: "_id", Value: 0}, {Key: "host", Value: host}}}},
	}
	var command bson.D
	old, err := mongod.Run(ctx, "admin", bson.D{{Key: "replSetGetConfig", Value: 1}})
	switch {
	case err != nil: // a new data directory
		command = bson.D{{Key: "replSetInitiate", Value: append(set[:1:1], set[2])}}
	case old.Lookup("config", "members", "0", "host").StringValue() != host: // another port
		command = bson.D{{Key: "replSetReconfig", Value: set}, {Key: "force", Value: true}}
	}
	if command != nil {
		if _, err := mongod.Run(ctx, "admin", command); err != nil {
			return fmt.Errorf("replica set: %w", err)
		}
	}
	return mongod.Await(ctx, func(ctx context.Context) error {
		hello, err := mongod.Run(ctx, "admin", bson.D{{Key: "hello", Value: 1}})
		if isPrimary, _ := hello.Lookup("isWritablePrimary").BooleanOK(); err == nil && !isPrimary {
			err = errors.New("not a primary")
		}
		return err
	})
}
