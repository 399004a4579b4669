package main_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/test/lab"
)

func TestAdminTokenThatCannotBeStoredLeavesTheFileOfBefore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "token")
	database := lab.TestDatabase(t)
	h := serve(t, dir, "--database-url", database, "--admin-token-file", file)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, database, `ALTER TABLE admin_token ADD CHECK (false) NOT VALID`)
	for _, revoke := range []string{"--revoke-others=false", "--revoke-others"} {
		refusal(t, nil, "admin-token", revoke, "--data-dir", dir, "--database-url", database, "--admin-token-file", file)
		if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
			t.Errorf("%s: the token file is another one: %v", revoke, err)
		}
	}
	h.fleetctl(t, strings.TrimSpace(string(before)), "get", "clusters")
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("beside the token file lie %v, %v", left, err)
	}
}

func TestFirstAdminTokenIsNotMadeForAFileThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	database := lab.TestDatabase(t)
	file := filepath.Join(dir, "absent", "token")
	said := refusal(t, nil, "serve", "--data-dir", dir, "--database-url", database, "--admin-token-file", file,
		"--spoke-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--hook-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0")
	if !strings.Contains(said, filepath.Dir(file)) {
		t.Errorf("the refusal does not say where: %s", said)
	}
	h := serve(t, dir, "--database-url", database)
	h.fleetctl(t, h.adminToken(t), "get", "clusters")
}

// Its file is written, and only its name is taken.
func TestAdminTokenThatCannotBePutInPlaceIsFoundBeside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	database := lab.TestDatabase(t)
	h := serve(t, dir, "--database-url", database)
	said := refusal(t, nil, "admin-token", "--revoke-others", "--data-dir", dir, "--database-url", database, "--admin-token-file", dir)
	named := regexp.MustCompile(`the admin token is good, and in (\S+):`).FindStringSubmatch(said)
	if named == nil {
		t.Fatalf("it does not say where the token is: %s", said)
	}
	token, err := os.ReadFile(named[1])
	if err != nil {
		t.Fatal(err)
	}
	h.fleetctl(t, strings.TrimSpace(string(token)), "get", "clusters")
	if err := os.Remove(named[1]); err != nil {
		t.Error(err)
	}
}

func execute(t *testing.T, database, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}
