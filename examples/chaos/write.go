package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/test/harness"
)

// readsPerWrite is the number of responses per write of a writer. With far more writes, many results would be unknown
// when a system fails.
const readsPerWrite = 1000

// writers change users in MongoDB and in the legacy service, and record the versions.
type writers struct {
	due     chan struct{} // has an element for each write that is due
	writing sync.WaitGroup
	stop    context.CancelFunc
}

// startWriters starts a writer for the documents and one for the cores. They write when due has an element.
func (s *system) startWriters(ctx context.Context) *writers {
	stopped, stop := context.WithCancel(ctx)
	w := &writers{due: make(chan struct{}, 100), stop: stop}
	mongod := s.Mongod // its successors have the same address
	client := harness.NewClient(false)
	client.Timeout = 0 // a write that timed out could be executed after the next one
	for _, half := range []struct {
		of    func(*user) *history
		write func(u *user, version int) error
	}{
		{func(u *user) *history { return &u.extension }, func(u *user, version int) error {
			return writeDocument(ctx, mongod, u.ID, version)
		}},
		{func(u *user) *history { return &u.core }, func(u *user, version int) error {
			return s.writeCore(ctx, client, u, version)
		}},
	} {
		w.writing.Go(func() {
			for {
				select {
				case <-stopped.Done():
					return
				case <-w.due:
				}
				u := s.users[rand.IntN(len(s.users))]
				version := half.of(u).begin()
				for half.write(u, version) != nil { // the system is down
					select {
					case <-ctx.Done():
						return
					case <-time.After(10 * time.Millisecond):
					}
				}
				half.of(u).acknowledge()
			}
		})
	}
	w.writing.Go(func() {
		<-stopped.Done()
		client.CloseIdleConnections()
	})
	return w
}

// wake makes each writer write. It does not wait.
func (w *writers) wake() {
	for range 2 {
		select {
		case w.due <- struct{}{}:
		default: // a system is down
		}
	}
}

// end waits for the last writes, which need running systems.
func (w *writers) end() {
	w.stop()
	w.writing.Wait()
}

// writeDocument replaces the previous version of a document, so that a write whose connection was lost cannot be
// executed after the next one.
func writeDocument(ctx context.Context, mongod *harness.Mongod, id, version int) error {
	previous := fmt.Sprintf("tag %d", id)
	if version > 1 {
		previous = tagOf(id, version-1)
	}
	result, err := mongod.Run(ctx, "user_profiles", bson.D{
		{Key: "findAndModify", Value: "profiles"},
		{Key: "query", Value: bson.D{{Key: "userId", Value: id}, {Key: "tags", Value: bson.A{previous}}}},
		{Key: "update", Value: bson.D{{Key: "$set", Value: bson.D{{Key: "tags", Value: bson.A{tagOf(id, version)}}}}}},
		{Key: "writeConcern", Value: bson.D{{Key: "w", Value: "majority"}}},
	})
	if err != nil {
		return err
	}
	if _, err := result.LookupErr("writeConcernError"); err == nil {
		return errors.New("not acknowledged by a majority")
	}
	return nil
}

// writeCore changes a user in the legacy service, bypassing Envoy.
func (s *system) writeCore(ctx context.Context, client *http.Client, u *user, version int) error {
	url := fmt.Sprintf("http://%s/api/v1/users/%d", s.LegacyAddr, u.ID)
	body := strings.Replace(u.Core, fmt.Sprintf("user%d@example.com", u.ID), emailOf(u.ID, version), 1)
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err = errors.Join(err, response.Body.Close()); err == nil && response.StatusCode != http.StatusNoContent {
		err = fmt.Errorf("PUT %s: status %d", url, response.StatusCode)
	}
	return err
}
