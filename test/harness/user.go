package harness

import (
	"context"
	"fmt"
	"net/http"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Users is the number of users that Seed inserts into MongoDB, with IDs 0 to 499.
const Users = 500

// Namespace is the database and collection of the built-in rules.
const Namespace = "user_profiles.profiles"

// Routes returns the paths of the built-in rules, without the ID at the end.
func Routes() []string { return []string{"/api/v1/users/", "/api/v3/composite-profile/"} }

// User has the data of a user in the legacy service and MongoDB, and the responses for the user.
type User struct {
	ID   int
	Core string // the response of the legacy service
}

// NewUser returns the user with an ID.
func NewUser(id int) User {
	const core = `{"userId": %d, "username": "user%[1]d", "email": "user%[1]d@example.com", ` +
		`"createdAt": "2020-02-29T12:34:56.789+00:00"}`
	return User{ID: id, Core: fmt.Sprintf(core, id)}
}

// Document returns the document that Seed inserts.
func (u User) Document() bson.D {
	return bson.D{
		{Key: "userId", Value: u.ID},
		{Key: "tags", Value: bson.A{fmt.Sprintf("tag %d", u.ID)}},
		{Key: "lastActivityScore", Value: float64(u.ID) + 0.5},
		{Key: "customSettings", Value: bson.D{{Key: "theme", Value: "dark"}}},
	}
}

// Extension returns the extension that the built-in rules produce from the document.
func (u User) Extension() string {
	const extension = `{"userId":%d,"tags":["tag %[1]d"],"lastActivityScore":%[1]d.5,"customSettings":{"theme":"dark"}}`
	return fmt.Sprintf(extension, u.ID)
}

// Composite returns the body with core and extension.
func (u User) Composite() string {
	return `{"core":` + u.Core + `,"extension":` + u.Extension() + `,"errors":[]}`
}

// WithoutExtension returns the body when the document cannot be read.
func (u User) WithoutExtension() string {
	return `{"core":` + u.Core + `,"extension":null,"errors":["Failed to fetch extended user profile."]}`
}

// WithoutCore returns the body when the legacy service fails.
func (u User) WithoutCore() string {
	return `{"core":null,"extension":` + u.Extension() + `,"errors":["Failed to fetch core user profile."]}`
}

// Kind classifies a response for a user.
type Kind int

// The kinds of responses.
const (
	Wrong       Kind = iota // none of the following, even if only one byte differs
	Composed                // core and extension
	Degraded                // core or extension is null
	Passed                  // the legacy response; not allowed on the composite route
	Unavailable             // status 503: neither core nor extension
)

// Kind classifies a response to a request for the user.
func (u User) Kind(a Answer) Kind {
	switch {
	case a.Status == http.StatusOK && a.Body == u.Composite():
		return Composed
	case a.Status == http.StatusOK && (a.Body == u.WithoutExtension() || a.Body == u.WithoutCore()):
		return Degraded
	case a.Status == http.StatusOK && a.Body == u.Core:
		return Passed
	case a.Status == http.StatusServiceUnavailable && a.Body == `{"detail":"All upstream services are unavailable."}`:
		return Unavailable
	default:
		return Wrong
	}
}

// Seed inserts the documents of all users and creates the index on their key.
func (m *Mongod) Seed(ctx context.Context) error {
	documents := make([]any, Users)
	for id := range documents {
		documents[id] = NewUser(id).Document()
	}
	if err := m.Insert(ctx, Namespace, documents...); err != nil {
		return err
	}
	index := bson.D{{Key: "key", Value: bson.D{{Key: "userId", Value: 1}}}, {Key: "name", Value: "userId_1"}}
	create := bson.D{{Key: "createIndexes", Value: "profiles"}, {Key: "indexes", Value: bson.A{index}}}
	_, err := m.Run(ctx, "user_profiles", create)
	return err
}
