package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// user is a table row. The fields have the order of the legacy service's JSON.
type user struct {
	ID        int64  `json:"userId"`
	Username  string `json:"username"`
	Email     string `json:"email"`
	CreatedAt string `json:"createdAt"` // in Jackson's format: 2020-02-29T12:34:56.789+00:00
	Caller    string `json:"caller,omitempty"`
}

const jacksonTime = "2006-01-02T15:04:05.000-07:00"

const schema = `CREATE TABLE IF NOT EXISTS users (
	user_id    INTEGER PRIMARY KEY,
	username   TEXT NOT NULL,
	email      TEXT NOT NULL,
	created_at TIMESTAMP NOT NULL
)`

// users is the users table.
type users struct{ db *sql.DB }

// openUsers opens the database, creates the table if necessary, and inserts count users if it is empty.
func openUsers(ctx context.Context, path string, count int) (*users, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	source := url.URL{Scheme: "file", Path: absolute, RawQuery: url.Values{
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)"}, "_time_format": {"sqlite"},
	}.Encode()}
	db, err := sql.Open("sqlite", source.String())
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	if err := seed(ctx, db, count); err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", path, err), db.Close())
	}
	return &users{db}, nil
}

func (u *users) close() error { return u.db.Close() }

// find returns a user, or sql.ErrNoRows if there is no such user.
func (u *users) find(ctx context.Context, id int64) (user, error) {
	found := user{ID: id}
	var created time.Time
	row := u.db.QueryRowContext(ctx, "SELECT username, email, created_at FROM users WHERE user_id = ?", id)
	if err := row.Scan(&found.Username, &found.Email, &created); err != nil {
		return user{}, err
	}
	found.CreatedAt = created.UTC().Format(jacksonTime)
	return found, nil
}

// update changes the name and the e-mail address of a user. It returns sql.ErrNoRows if there is no such user.
func (u *users) update(ctx context.Context, changed user) error {
	const statement = "UPDATE users SET username = ?, email = ? WHERE user_id = ?"
	result, err := u.db.ExecContext(ctx, statement, changed.Username, changed.Email, changed.ID)
	if err != nil {
		return err
	}
	if rows, err := result.RowsAffected(); err != nil || rows == 1 {
		return err
	}
	return sql.ErrNoRows
}

// seed fills an empty table in one transaction, always with the same users.
func seed(ctx context.Context, db *sql.DB, count int) error {
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // has no effect after a commit
	var present int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM users").Scan(&present); err != nil || present > 0 {
		return err
	}
	insert, err := tx.PrepareContext(ctx, "INSERT INTO users (user_id, username, email, created_at) VALUES (?, ?, ?, ?)")
	if err != nil {
		return err
	}
	defer insert.Close() //nolint:errcheck // Commit reports errors
	names := map[int]string{
		19: "Zoë Ångström",
		42: "山田太郎",
		77: `Ann "Tabs" O'Hara <ann&co>`,
		99: "weaver 🧵",
	}
	seventh := time.Date(2020, time.February, 29, 12, 34, 56, 789e6, time.UTC)
	for id := 1; id <= count; id++ {
		name, special := names[id]
		if !special {
			name = fmt.Sprintf("user%d", id)
		}
		created := seventh.Add(time.Duration(id-7) * 13 * time.Hour)
		if _, err := insert.ExecContext(ctx, id, name, fmt.Sprintf("user%d@example.com", id), created); err != nil {
			return err
		}
	}
	return tx.Commit()
}
