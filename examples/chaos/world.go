package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	mongooptions "go.mongodb.org/mongo-driver/v2/mongo/options"

	"weft/test/harness"
)

// world is everything that runs, on ports of its own.
type world struct {
	options
	dir       string
	mongoPort int
	legacyURL string
	envoyURL  string

	mongod *harness.Mongod // a replica set of one, so that it can be without a primary
	legacy *harness.Process
	weft   *harness.Process
	envoy  *harness.Envoy

	answers map[int]expected // what each user's clients may get
}

const (
	users  = 500 // of the legacy service's 1,000
	socket = "weft.sock"
)

// start starts all of it. The caller ends it with stop, whether or not there is an error.
func (w *world) start(ctx context.Context) (err error) {
	if w.dir, err = os.MkdirTemp("", "weft-chaos"); err != nil {
		return err
	}
	if w.mongoPort, err = harness.FreePort(); err != nil {
		return err
	}
	legacyPort, err := harness.FreePort()
	if err != nil {
		return err
	}
	w.legacyURL = fmt.Sprintf("http://127.0.0.1:%d", legacyPort)
	if err := w.startMongod(ctx); err != nil {
		return err
	}
	if err := w.seed(ctx); err != nil {
		return err
	}
	if err := w.startLegacy(ctx); err != nil {
		return err
	}
	if err := w.expect(ctx); err != nil {
		return err
	}
	if err := w.startWeft(ctx); err != nil {
		return err
	}
	return w.startEnvoy(ctx)
}

// stop ends what runs, frozen or not.
func (w *world) stop() error {
	var errs []error
	if w.envoy != nil {
		errs = append(errs, w.envoy.Kill())
	}
	for _, p := range []*harness.Process{w.weft, w.legacy} {
		if p != nil {
			errs = append(errs, p.Kill())
		}
	}
	if w.mongod != nil {
		errs = append(errs, w.mongod.Kill())
	}
	return errors.Join(append(errs, os.RemoveAll(w.dir))...)
}

func (w *world) startMongod(ctx context.Context) (err error) {
	w.mongod, err = harness.StartMongod(ctx, harness.MongodOptions{
		Dir: filepath.Join(w.dir, "mongod"), Port: w.mongoPort, Args: []string{"--replSet", "rs0", "--oplogSize", "50"},
	})
	return err
}

// admin runs a command on the mongod itself, primary or not.
func (w *world) admin(ctx context.Context, command bson.D) (err error) {
	client, err := mongo.Connect(mongooptions.Client().ApplyURI(w.mongod.URI()).SetDirect(true))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Disconnect(context.WithoutCancel(ctx))) }()
	return client.Database("admin").RunCommand(ctx, command).Err()
}

func (w *world) mongodbURI() string { return w.mongod.URI() + "/?replicaSet=rs0" }

// seed makes the replica set, and a document for every user.
func (w *world) seed(ctx context.Context) (err error) {
	member := bson.D{{Key: "_id", Value: 0}, {Key: "host", Value: fmt.Sprintf("127.0.0.1:%d", w.mongoPort)}}
	if err := w.admin(ctx, bson.D{{Key: "replSetInitiate", Value: bson.D{
		{Key: "_id", Value: "rs0"}, {Key: "members", Value: bson.A{member}},
	}}}); err != nil {
		return fmt.Errorf("replica set: %w", err)
	}
	client, err := mongo.Connect(mongooptions.Client().ApplyURI(w.mongodbURI()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Disconnect(context.WithoutCancel(ctx))) }()
	profiles := client.Database("user_profiles").Collection("profiles")
	if _, err := profiles.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "userId", Value: 1}}}); err != nil {
		return err
	}
	var documents []any
	for id := 1; id <= users; id++ {
		documents = append(documents, bson.D{
			{Key: "userId", Value: id},
			{Key: "tags", Value: bson.A{fmt.Sprintf("tag %d", id)}},
			{Key: "lastActivityScore", Value: float64(id) + 0.5},
			{Key: "customSettings", Value: bson.D{{Key: "theme", Value: "dark"}}},
		})
	}
	_, err = profiles.InsertMany(ctx, documents)
	return err
}

func (w *world) startLegacy(ctx context.Context) (err error) {
	w.legacy, err = harness.Start(harness.Command{
		Name: "legacy",
		Path: w.options.legacy,
		Args: []string{"-listen", w.legacyURL[len("http://"):], "-db", filepath.Join(w.dir, "legacy.db")},
		Log:  filepath.Join(w.dir, "legacy.log"),
	})
	if err != nil {
		return err
	}
	return w.legacy.AwaitReady(ctx, func(ctx context.Context) error {
		_, err := fetch(ctx, w.legacyURL+"/api/v1/users/1")
		return err
	})
}

// expect asks the legacy service, without anything between, what it says of each user, and makes of it what a client
// may get.
func (w *world) expect(ctx context.Context) error {
	w.answers = make(map[int]expected)
	for id := 1; id <= users; id++ {
		core, err := fetch(ctx, fmt.Sprintf("%s/api/v1/users/%d", w.legacyURL, id))
		if err != nil {
			return err
		}
		w.answers[id] = expect(id, string(core))
	}
	return nil
}

func (w *world) startWeft(ctx context.Context) (err error) {
	w.weft, err = harness.Start(harness.Command{
		Name: "weft",
		Path: w.options.weft,
		Args: []string{"serve", "--listen", "unix:" + socket, "--admin", "", "--drain-window", "0"},
		Env:  []string{"WEFT_MONGODB_URI=" + w.mongodbURI()},
		Dir:  w.dir, // the path of a socket holds 107 bytes at most
		Log:  filepath.Join(w.dir, "weft.log"),
	})
	if err != nil {
		return err
	}
	return w.weft.AwaitReady(ctx, func(ctx context.Context) error {
		path := fmt.Sprintf("/proc/%d/cwd/%s", w.weft.Pid(), socket)
		connection, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err != nil {
			return err
		}
		return connection.Close()
	})
}

func (w *world) startEnvoy(ctx context.Context) error {
	bootstrap, err := exec.CommandContext(ctx, w.options.weft, "envoy", "--legacy", w.legacyURL[len("http://"):],
		"--weft", "unix:"+socket, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--message-timeout", w.messageTimeout.String(), "--route-timeout", max(3*time.Second, 2*w.messageTimeout).String()).Output()
	if err != nil {
		return fmt.Errorf("weft envoy: %w", err)
	}
	if w.envoy, err = harness.StartEnvoy(ctx, harness.EnvoyOptions{Dir: w.dir, Bootstrap: bootstrap}); err != nil {
		return err
	}
	address, err := w.envoy.ListenerAddr(ctx, "main")
	w.envoyURL = "http://" + address
	return err
}

// idle waits for Envoy to have no request open towards weft or the legacy service. The error says which are.
func (w *world) idle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	const none = "cluster.legacy.upstream_rq_active: 0\ncluster.weft.upstream_rq_active: 0\n"
	for {
		stats, err := fetch(ctx, w.envoy.Admin()+"/stats?filter=^cluster.(legacy|weft).upstream_rq_active$")
		if err == nil && string(stats) == none {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("requests are left open: %s", stats)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// fetch reads a page over a connection of its own.
func fetch(ctx context.Context, url string) (_ []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, response.Status)
	}
	return body, err
}
