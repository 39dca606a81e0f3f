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

// mongodbFlags say where MongoDB is. The connection string may hold a password, so that it is never printed.
func mongodbFlags(value, usage string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name: "mongodb-uri", Value: value, DefaultText: value, Sources: cli.EnvVars("WEFT_MONGODB_URI"),
			Usage: "MongoDB connection `STRING`" + usage + "; with a password only in the environment, or in a file",
		},
		&cli.StringFlag{
			Name: "mongodb-uri-file", Sources: cli.EnvVars("WEFT_MONGODB_URI_FILE"),
			Usage: "`FILE` that holds it, as a mounted Secret does",
		},
	}
}

// mongodbURI returns the connection string.
func mongodbURI(cmd *cli.Command) (string, error) {
	uri, file := cmd.String("mongodb-uri"), cmd.String("mongodb-uri-file")
	if file == "" {
		// Everybody on the machine can read the command lines of others.
		isVisible := slices.ContainsFunc(os.Args, func(arg string) bool { return strings.Contains(arg, uri) })
		if isVisible && hasSecret(uri) {
			return "", usageError{errors.New("--mongodb-uri has a password in it, which ps shows to everybody: " +
				"use WEFT_MONGODB_URI or --mongodb-uri-file, and take another password")}
		}
		return uri, nil
	}
	if cmd.IsSet("mongodb-uri") {
		return "", usageError{errors.New("--mongodb-uri (WEFT_MONGODB_URI) and --mongodb-uri-file (WEFT_MONGODB_URI_FILE) " +
			"are both given: which?")}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("--mongodb-uri-file: %w", err)
	}
	return parseURIFile(file, text)
}

// parseURIFile returns the connection string in the text of a file.
func parseURIFile(name string, text []byte) (string, error) {
	uri := strings.TrimSpace(string(text))
	if uri == "" {
		return "", fmt.Errorf("--mongodb-uri-file: %s is empty; want, for example, "+
			"mongodb://user:password@db.internal:27017", name)
	}
	return uri, nil
}

// hasSecret reports whether a connection string may contain a secret: a password of a user or of a key, or a token.
func hasSecret(uri string) bool {
	lower := strings.ToLower(uri)
	return strings.Contains(uri, "@") || strings.Contains(lower, "password") || strings.Contains(lower, "token")
}

// uriError returns the error that a user reads about a connection string. The driver's parser quotes what it does not
// understand, which may be half a password.
func uriError(uri string, err error) error {
	isParser := strings.HasPrefix(err.Error(), "error parsing uri: ") && !errors.As(err, new(*net.DNSError))
	switch {
	case isParser && hasSecret(uri):
		return errors.New("--mongodb-uri: this is no connection string; what is wrong is not shown, since it may have a " +
			"password in it: user name and password must be percent-encoded; want, for example, " +
			"mongodb://user:p%40ss@db.internal:27017")
	case isParser:
		return fmt.Errorf("--mongodb-uri: %w; want, for example, mongodb://localhost:27017", err)
	default:
		return fmt.Errorf("--mongodb-uri: %w", err)
	}
}
