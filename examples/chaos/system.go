package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/test/harness"
)

// system is a replica set of one mongod, a legacy service, weft and Envoy.
type system struct {
	options
	*harness.System
	caches       bool // the rules have caches, and writers change the users
	hasRedis     bool // for cores
	legacy, weft *harness.Process
	redis        *harness.Redis
	users        []*user // 1 to options.users
	resident     []int   // of the process with weft, after each scenario, in MiB

	legacyDown, mongoDown outage
}

// start starts the system. The caller must call stop, even after an error.
func (s *system) start(ctx context.Context) (err error) {
	if s.System, err = harness.NewSystem(s.options.weft); err != nil {
		return err
	}
	if s.LegacyAddr, err = harness.FreeAddr(); err != nil {
		return err
	}
	if err := s.StartMongod(ctx, "--replSet", "rs0", "--oplogSize", "50"); err != nil {
		return err
	}
	member := bson.D{{Key: "_id", Value: 0}, {Key: "host", Value: s.Mongod.URI()[len("mongodb://"):]}}
	set := bson.D{{Key: "_id", Value: "rs0"}, {Key: "members", Value: bson.A{member}}}
	if err := s.admin(ctx, bson.D{{Key: "replSetInitiate", Value: set}}); err != nil {
		return fmt.Errorf("replica set: %w", err)
	}
	if err := s.awaitPrimary(ctx); err != nil {
		return err
	}
	if err := s.Mongod.Seed(ctx); err != nil {
		return err
	}
	if err := s.startLegacy(ctx); err != nil {
		return err
	}
	if err := s.readUsers(ctx); err != nil {
		return err
	}
	if s.hasRedis {
		if err := s.startRedis(ctx, harness.RedisOptions{Dir: s.File("redis")}); err != nil {
			return err
		}
	}
	if s.caches {
		if err := os.WriteFile(s.rulesFile(), []byte(cachedRules()), 0o600); err != nil {
			return err
		}
	}
	args := append(s.rulesArgs(),
		"--legacy", s.LegacyAddr, "--message-timeout", s.messageTimeout.String(),
		"--route-timeout", max(3*time.Second, 2*s.messageTimeout).String())
	if s.library == "" {
		if err := s.startWeft(ctx); err != nil {
			return err
		}
		return s.StartEnvoy(ctx, args...)
	}
	settings := map[string]string{"mongodb-uri": s.mongodbURI(), "admin": ""}
	if s.caches {
		settings["rules"] = s.rulesFile()
	}
	if s.hasRedis {
		settings["redis-url"] = s.redis.URL()
	}
	config, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	bootstrap, err := harness.Bootstrap(ctx, s.options.weft,
		append(args, "--mode", "module", "--module-library", s.library, "--module-config", string(config))...)
	if err != nil {
		return err
	}
	return s.StartEnvoyWith(ctx, bootstrap)
}

func (s *system) rulesFile() string { return filepath.Join(s.Dir, "rules.yaml") }

// rulesArgs returns weft's arguments for the rules; none for the built-in rules.
func (s *system) rulesArgs() []string {
	if !s.caches {
		return nil
	}
	return []string{"--rules", s.rulesFile()}
}

// residentMiB returns the resident memory of the process with weft (proc_pid_status(5), VmRSS).
func (s *system) residentMiB() (int, error) {
	pid := s.Envoy.Pid()
	if s.library == "" {
		pid = s.weft.Pid()
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	var kB int
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	_, err = fmt.Sscanf(rest, "%d kB", &kB)
	return kB >> 10, err
}

// stop kills all processes.
func (s *system) stop() error {
	if s.System == nil {
		return nil
	}
	var err error
	if s.redis != nil {
		err = s.redis.Kill()
	}
	return errors.Join(err, s.Close())
}

func (s *system) startRedis(ctx context.Context, o harness.RedisOptions) error {
	server, err := harness.StartRedis(ctx, o)
	if err == nil {
		s.redis = server
	}
	return err
}

// admin runs a command on the mongod, which need not be a primary.
func (s *system) admin(ctx context.Context, command bson.D) error {
	_, err := s.Mongod.Run(ctx, "admin", command)
	return err
}

func (s *system) awaitPrimary(ctx context.Context) error {
	return s.Mongod.Await(ctx, func(ctx context.Context) error {
		note := bson.D{{Key: "weft", Value: "chaos"}}
		return s.admin(ctx, bson.D{{Key: "appendOplogNote", Value: 1}, {Key: "data", Value: note}}) // only on a primary
	})
}

func (s *system) startLegacy(ctx context.Context) (err error) {
	args := []string{"-listen", s.LegacyAddr, "-db", filepath.Join(s.Dir, "legacy.db")}
	if s.caches {
		args = append(args, "-writable", "-callers", "-cache-control", fmt.Sprintf("max-age=%d", int(maxAge.Seconds())))
	}
	s.legacy, err = s.Start(ctx, harness.Command{
		Name:  "legacy",
		Path:  s.options.legacy,
		Args:  args,
		Ready: harness.Serving("http://" + s.LegacyAddr + "/api/v1/users/1"),
	})
	return err
}

func (s *system) startWeft(ctx context.Context) (err error) {
	args := append(s.rulesArgs(), "--mongodb-uri", s.mongodbURI())
	if s.hasRedis {
		args = append(args, "--redis-url", s.redis.URL())
	}
	s.weft, err = s.StartWeft(ctx, args...)
	return err
}

func (s *system) mongodbURI() string { return s.Mongod.URI() + "/?replicaSet=rs0" }

// readUsers reads the users from the legacy service, bypassing Envoy.
func (s *system) readUsers(ctx context.Context) error {
	for id := 1; id <= s.options.users; id++ {
		answer, err := harness.Get(ctx, fmt.Sprintf("http://%s/api/v1/users/%d", s.LegacyAddr, id))
		if err != nil || answer.Status != 200 {
			return errors.Join(err, fmt.Errorf("user %d: %s", id, answer))
		}
		s.users = append(s.users, &user{User: harness.User{ID: id, Core: answer.Body}})
	}
	return nil
}
