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
func mongodbURI(cmd *cli.Command) (string, error) {
	uri, file := cmd.String("mongodb-uri"), cmd.String("mongodb-uri-file")
	if file == "" {
		// Every user on the machine can read the command lines of all processes.
		hasURI := func(arg string) bool { return strings.Contains(arg, uri) }
		if isVisible := slices.ContainsFunc(os.Args, hasURI); isVisible && hasSecret(uri) {
			return "", usageError{errors.New("--mongodb-uri contains a password, which ps shows to every user: " +
				"use WEFT_MONGODB_URI or --mongodb-uri-file, and change the password")}
		}
		return uri, nil
	}
	if cmd.IsSet("mongodb-uri") {
		return "", usageError{errors.New("--mongodb-uri (WEFT_MONGODB_URI) and --mongodb-uri-file " +
			"(WEFT_MONGODB_URI_FILE) are both set; set only one")}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("--mongodb-uri-file: %w", err)
	}
	return parseURIFile(file, text)
}

// parseURIFile returns the connection string in the text of a file. The name is for errors.
func parseURIFile(name string, text []byte) (string, error) {
	uri := strings.TrimSpace(string(text))
	if uri == "" {
		return "", fmt.Errorf("--mongodb-uri-file: %s is empty; want, for example, "+
			"mongodb://user:password@db.internal:27017", name)
	}
	return uri, nil
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
