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
			return "", usageError{errors.New("--mongodb-uri has a password in it, which ps shows to everybody: use WEFT_MONGODB_URI or --mongodb-uri-file, and take another password")}
		}
		return uri, nil
	}
	if cmd.IsSet("mongodb-uri") {
		return "", usageError{errors.New("--mongodb-uri (WEFT_MONGODB_URI) and --mongodb-uri-file (WEFT_MONGODB_URI_FILE) are both given: which?")}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("--mongodb-uri-file: %w", err)
	}
	if uri = strings.TrimSpace(string(text)); uri == "" {
		return "", fmt.Errorf("--mongodb-uri-file: %s is empty; want, for example, mongodb://user:password@db.internal:27017", file)
	}
	return uri, nil
}

// hasSecret reports whether a connection string holds what nobody is to see: a password, be it of a user or of a key, or
// a token. In doubt it does.
func hasSecret(uri string) bool {
	lower := strings.ToLower(uri)
	return strings.Contains(uri, "@") || strings.Contains(lower, "password") || strings.Contains(lower, "token")
}

// uriError is what is wrong with a connection string. The driver quotes the parts that it does not understand, and one of
// them may be half a password.
func uriError(uri string, err error) error {
	if hasSecret(uri) && !errors.As(err, new(*net.DNSError)) {
		return errors.New("--mongodb-uri: this is no connection string; what is wrong is not shown, since it may have a password in it: " +
			"user name and password must be percent-encoded; want, for example, mongodb://user:p%40ss@db.internal:27017")
	}
	return fmt.Errorf("--mongodb-uri: %w; want, for example, mongodb://localhost:27017", err)
}
