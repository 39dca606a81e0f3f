package cli

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
)

// mongodbFlags returns the flags for the connection string. It may contain a password, so help and errors never print
// its value.
func mongodbFlags(value, usage string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name: "mongodb-uri", Value: value, DefaultText: value, Sources: cli.EnvVars("WEFT_MONGODB_URI"),
			Usage: "MongoDB connection `STRING`" + usage +
				"; if it has a password, use the environment or --mongodb-uri-file instead",
		},
		&cli.StringFlag{
			Name: "mongodb-uri-file", Sources: cli.EnvVars("WEFT_MONGODB_URI_FILE"),
			Usage: "`FILE` with the connection string, such as a mounted Secret; reloaded when it changes",
		},
	}
}

// mongodbURI returns the connection string, from the flag, the environment or the file.
func mongodbURI(cmd *cli.Command) (string, error) { return mongodbSource.value(cmd) }

// mongodbSource and redisSource are the flags with a connection string.
const (
	mongodbSource source = "mongodb-uri"
	redisSource   source = "redis-url"
)

// source is the name of a flag with a connection string. It has an environment variable, and a second flag for a file,
// whose name ends in "-file".
type source string

// value returns the connection string, from the flag, the environment or the file.
func (s source) value(cmd *cli.Command) (string, error) {
	flag, env := "--"+string(s), s.env()
	value, file := cmd.String(string(s)), cmd.String(string(s)+"-file")
	if file == "" {
		// Every user on the machine can read the command lines of all processes.
		hasValue := func(arg string) bool { return strings.Contains(arg, value) }
		if isVisible := slices.ContainsFunc(os.Args, hasValue); isVisible && hasSecret(value) {
			return "", usageErrorf("%s contains a password, which ps shows to every user: "+
				"use %s or %s-file, and change the password", flag, env, flag)
		}
		return value, nil
	}
	if cmd.IsSet(string(s)) {
		return "", usageErrorf("%s (%s) and %s-file (%s_FILE) are both set; set only one", flag, env, flag, env)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s-file: %w", flag, err)
	}
	return s.parseFile(file, text)
}

// env returns the environment variable.
func (s source) env() string {
	return "WEFT_" + strings.ToUpper(strings.ReplaceAll(string(s), "-", "_"))
}

// parseFile returns the connection string in the text of a file. The name is for errors.
func (s source) parseFile(name string, text []byte) (string, error) {
	value := strings.TrimSpace(string(text))
	if value == "" {
		example := map[source]string{
			mongodbSource: "mongodb://user:password@db.internal:27017",
			redisSource:   "rediss://user:password@redis.internal:6379",
		}[s]
		return "", fmt.Errorf("--%s-file: %s is empty; want, for example, %s", s, name, example)
	}
	return value, nil
}

// hasSecret reports whether a connection string may contain a secret: the password of a user or a key, or a token.
func hasSecret(uri string) bool {
	lower := strings.ToLower(uri)
	return strings.Contains(uri, "@") || strings.Contains(lower, "password") || strings.Contains(lower, "token")
}

// uriError returns the error to report for a connection string. It hides the error of the driver's parser if that may
// quote part of a password.
func uriError(uri string, err error) error {
	isParser := strings.HasPrefix(err.Error(), "error parsing uri: ") && !errors.As(err, new(*net.DNSError))
	switch {
	case isParser && hasSecret(uri):
		return errors.New("--mongodb-uri: invalid connection string; details are not shown because they may contain " +
			"a password; percent-encode the user name and password, for example " +
			"mongodb://user:p%40ss@db.internal:27017")
	case isParser:
		return fmt.Errorf("--mongodb-uri: %w; want, for example, mongodb://localhost:27017", err)
	default:
		return fmt.Errorf("--mongodb-uri: %w", err)
	}
}
