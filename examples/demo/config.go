package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"weft/test/harness"
)

// config is what the environment variables say.
type config struct {
	data       string // absolute path of the data folder
	port       int    // Envoy's listener
	adminPort  int    // Envoy's admin interface
	weftPort   int    // weft's: metrics and health
	legacyPort int    // our legacy service; 0 when LEGACY names another
	mongoPort  int    // our mongod; 0 when MONGODB_URI names another
	legacy     string // host:port of the legacy service
	mongodbURI string
	module     bool   // weft runs in Envoy's process
	page       string // absolute path of the page's folder; "" means no page and no control endpoint
}

// configure reads the environment. Errors name the variable.
func configure(getenv func(string) string) (config, error) {
	data, err := filepath.Abs(cmp.Or(getenv("DATA"), ".demo"))
	if err != nil {
		return config{}, fmt.Errorf("DATA: %w", err)
	}
	c := config{data: data, legacy: getenv("LEGACY"), mongodbURI: getenv("MONGODB_URI")}
	if c.port, err = portFrom(getenv, "PORT", 10000); err != nil {
		return config{}, err
	}
	if c.adminPort, err = portFrom(getenv, "ADMIN_PORT", 9901); err != nil {
		return config{}, err
	}
	if c.weftPort, err = portFrom(getenv, "WEFT_ADMIN_PORT", 9902); err != nil {
		return config{}, err
	}
	switch mode := getenv("MODE"); mode {
	case "module":
		c.module = true
	case "", "ext_proc":
	default:
		return config{}, fmt.Errorf("MODE=%s: write MODE=ext_proc or MODE=module", mode)
	}
	if c.legacy != "" {
		if host, port, err := net.SplitHostPort(c.legacy); err != nil || host == "" || port == "" {
			return config{}, fmt.Errorf("LEGACY=%s: write host:port, for example LEGACY=127.0.0.1:8080", c.legacy)
		}
	} else {
		if c.legacyPort, err = portFrom(getenv, "LEGACY_PORT", 8081); err != nil {
			return config{}, err
		}
		c.legacy = local(c.legacyPort)
	}
	if c.mongodbURI != "" {
		if !strings.HasPrefix(c.mongodbURI, "mongodb://") && !strings.HasPrefix(c.mongodbURI, "mongodb+srv://") {
			return config{}, errors.New("MONGODB_URI: write a connection string, for example MONGODB_URI=mongodb://127.0.0.1:27017")
		}
	} else {
		if c.mongoPort, err = portFrom(getenv, "MONGODB_PORT", 27018); err != nil {
			return config{}, err
		}
		c.mongodbURI = "mongodb://" + local(c.mongoPort)
	}
	return c, nil
}

// usePage notes the folder of the page, "" for none.
func (c *config) usePage(folder string) error {
	if folder == "" {
		return nil
	}
	if c.legacyPort == 0 {
		return errors.New("LEGACY: the page is served through the demo's own legacy service; leave LEGACY away, or use \"make run\"")
	}
	if c.module {
		return errors.New("MODE=module: the page breaks and starts weft, which is no process of its own then; use \"make run\"")
	}
	page, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(page, "index.html")); err != nil {
		return fmt.Errorf("the page needs an index.html: %w; \"make demo\" builds one, \"make demo PAGE=folder\" shows your own", err)
	}
	c.page = page
	return nil
}

func portFrom(getenv func(string) string, variable string, otherwise int) (int, error) {
	text := getenv(variable)
	if text == "" {
		return otherwise, nil
	}
	port, err := strconv.Atoi(text)
	if err != nil || port < 1 || port > 65535 {
		return 0, fmt.Errorf("%s=%s: write a port from 1 to 65535, for example %s=%d", variable, text, variable, otherwise)
	}
	return port, nil
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// checkPorts finds out before anything is started whether each port is free.
func (c config) checkPorts() error {
	users := make(map[int]string)
	for _, wanted := range []struct {
		variable string
		port     int
	}{{"PORT", c.port}, {"ADMIN_PORT", c.adminPort}, {"WEFT_ADMIN_PORT", c.weftPort}, {"LEGACY_PORT", c.legacyPort}, {"MONGODB_PORT", c.mongoPort}} {
		if wanted.port == 0 {
			continue
		}
		if other, taken := users[wanted.port]; taken {
			return fmt.Errorf("%s and %s are both %d; choose another for one, for example: %s=%d make run",
				other, wanted.variable, wanted.port, wanted.variable, freeAfter(wanted.port))
		}
		users[wanted.port] = wanted.variable
		if err := freePort(wanted.port); err != nil {
			return fmt.Errorf("%s: %w; choose another, for example: %s=%d make run",
				wanted.variable, err, wanted.variable, freeAfter(wanted.port))
		}
	}
	return nil
}

// freePort gives the servers of a runner that has just been killed a moment to go.
func freePort(port int) error {
	err := harness.CheckPort(port)
	for end := time.Now().Add(time.Second); errors.Is(err, harness.ErrPortBusy) && time.Now().Before(end); err = harness.CheckPort(port) {
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// freeAfter is the next port that nobody uses.
func freeAfter(port int) int {
	for next := port + 1; next <= 65535; next++ {
		if harness.CheckPort(next) == nil {
			return next
		}
	}
	return 20000
}

// hosts is the connection string without the credentials and options, fit to be shown.
func hosts(uri string) string {
	scheme, rest, _ := strings.Cut(uri, "://")
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		rest = rest[at+1:]
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	return scheme + "://" + rest[:end]
}
