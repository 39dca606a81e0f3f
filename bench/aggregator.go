package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	mongooptions "go.mongodb.org/mongo-driver/v2/mongo/options"
)

// aggregator is a well-written alternative to weft: it runs both calls concurrently, keeps connections, and validates
// the core but does not re-encode it.
type aggregator struct {
	legacy   string
	client   *http.Client
	profiles *mongo.Collection
}

type profile struct {
	UserID            int64    `bson:"userId" json:"userId"`
	Tags              []string `bson:"tags" json:"tags"`
	LastActivityScore float64  `bson:"lastActivityScore" json:"lastActivityScore"`
	CustomSettings    bson.M   `bson:"customSettings" json:"customSettings"`
}

func serveAggregator(ctx context.Context, listen, legacy, mongodbURI string) error {
	debug.SetGCPercent(400) // as weft does
	client, err := mongo.Connect(mongooptions.Client().ApplyURI(mongodbURI))
	if err != nil {
		return err
	}
	defer func() { _ = client.Disconnect(context.WithoutCancel(ctx)) }()
	transport := &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024, DisableCompression: true}
	a := &aggregator{
		legacy:   legacy,
		client:   &http.Client{Transport: transport},
		profiles: client.Database("user_profiles").Collection("profiles"),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/users/{id}", a.serve)
	return serve(ctx, listen, mux)
}

func (a *aggregator) serve(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		http.Error(w, "not an integer", http.StatusUnprocessableEntity)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	read := make(chan *profile, 1)
	go func() { read <- a.profile(ctx, id) }()
	core := a.core(ctx, r.URL.RequestURI(), id)
	extension := <-read
	failed := []string{}
	if core == nil {
		core, failed = []byte("null"), append(failed, "Failed to fetch core user profile.")
	}
	if extension == nil {
		failed = append(failed, "Failed to fetch extended user profile.")
	}
	w.Header().Set("content-type", "application/json")
	if len(failed) == 2 {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"detail":"All upstream services are unavailable."}`)
		return
	}
	body, err := join(core, extension, failed)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("content-length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// join returns the composite. core must be valid JSON; as a json.RawMessage it would be validated and copied again.
func join(core []byte, extension *profile, failed []string) ([]byte, error) {
	extensionJSON, err := json.Marshal(extension)
	if err != nil {
		return nil, err
	}
	failedJSON, err := json.Marshal(failed)
	if err != nil {
		return nil, err
	}
	return slices.Concat([]byte(`{"core":`), core, []byte(`,"extension":`), extensionJSON,
		[]byte(`,"errors":`), failedJSON, []byte("}")), nil
}

// core returns the legacy user, or nil if it is not available.
func (a *aggregator) core(ctx context.Context, uri string, id int64) []byte {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.legacy+uri, http.NoBody)
	if err != nil {
		return nil
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil
	}
	var user struct {
		UserID    int64  `json:"userId"`
		Username  string `json:"username"`
		Email     string `json:"email"`
		CreatedAt string `json:"createdAt"`
	}
	if json.Unmarshal(body, &user) != nil || user.UserID != id {
		return nil
	}
	return body
}

// profile returns the profile, its defaults if there is no document, or nil if MongoDB is not available.
func (a *aggregator) profile(ctx context.Context, id int64) *profile {
	p := &profile{UserID: id, Tags: []string{}, CustomSettings: bson.M{}}
	err := a.profiles.FindOne(ctx, bson.D{{Key: "userId", Value: id}}).Decode(p)
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		return nil
	}
	return p
}
