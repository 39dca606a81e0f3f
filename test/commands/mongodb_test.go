package commands_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/test/harness"
)

// TestCheckMongoDB: with a MongoDB, "weft check" reports missing indexes, with the commands that create them, and
// documents that do not match the rules.
func TestCheckMongoDB(t *testing.T) {
	mongod, err := harness.StartMongod(t.Context(), harness.MongodOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mongod.Kill() }()
	const rules = "../../examples/user-profile/rules.yaml"
	out, err := weft(t.Context(), "check", "--mongodb-uri", mongod.URI(), rules).Output()
	want := rules + `: rule "user", extension "extension": no index on the key; each read scans the whole collection; ` +
		`run in mongosh: db.getSiblingDB('user_profiles').getCollection('profiles').createIndex({'userId': 1}) ` +
		"(warning)" + "\n"
	if err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v\n got %s\nwant %s", err, out, want)
	}
	if err := mongod.Insert(t.Context(), harness.Namespace, bson.D{{Key: "userId", Value: "7"}}); err != nil {
		t.Fatal(err)
	}
	out, err = weft(t.Context(), "check", "--mongodb-uri", mongod.URI(), rules).Output()
	want = rules + `: rule "user", extension "extension": field "userId" is string, not int64, ` +
		`in 1 of 1 documents, which no read returns (warning)` + "\n"
	if err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v\n got %s\nwant %s", err, out, want)
	}
	text, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	cached := filepath.Join(t.TempDir(), "cached.yaml")
	with := strings.Replace(string(text), "        database:", "        cache: {}\n        database:", 1)
	if err := os.WriteFile(cached, []byte(with), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err = weft(t.Context(), "check", "--mongodb-uri", mongod.URI(), cached).Output()
	want = `: rule "user", extension "extension": no change stream; cached documents are up to max_age old: ` +
		"change streams are not supported by a standalone server (warning)\n"
	if err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v\n got %s\nwant %s", err, out, want)
	}
	const down = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100"
	out, err = weft(t.Context(), "check", "--mongodb-uri", down, rules).CombinedOutput()
	want = rules + `: rule "user": list the indexes of user_profiles.profiles: server selection error`
	if err == nil || !strings.Contains(string(out), want) {
		t.Errorf("MongoDB is down: %v\n%s", err, out)
	}
}
