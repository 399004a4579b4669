package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrationLock is the advisory lock under which one replica migrates while the others wait.
const migrationLock = 0x666c6f74 // "flot"

type migration struct {
	number int
	name   string
	sql    string
}

// migrations returns the numbered files in order.
func migrations() ([]migration, error) {
	entries, err := fs.ReadDir(migrationFiles, "migrations") // sorted by name
	if err != nil {
		return nil, err
	}
	all := make([]migration, 0, len(entries))
	for i, entry := range entries {
		number, _, _ := strings.Cut(entry.Name(), "_")
		n, err := strconv.Atoi(number)
		if err != nil || n != i+1 {
			return nil, fmt.Errorf("migration %s is not number %d", entry.Name(), i+1)
		}
		sql, err := fs.ReadFile(migrationFiles, "migrations/"+entry.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, migration{number: n, name: entry.Name(), sql: string(sql)})
	}
	return all, nil
}

// SchemaVersion is the number of the newest migration this hub knows.
func SchemaVersion() int {
	all, err := migrations()
	if err != nil {
		panic(err) // embedded files that do not count up are a mistake of the build
	}
	return len(all)
}

// Migrate brings the schema of the database at url up to date, and does no more: no hub has it by that.
func Migrate(ctx context.Context, url string) error {
	config, err := parseURL(url)
	if err != nil {
		return err
	}
	return migrate(ctx, config.ConnConfig)
}

// migrate brings the schema up to date: forward only, each migration in a transaction of its own.
func migrate(ctx context.Context, config *pgx.ConnConfig) error {
	all, err := migrations()
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) // ends the session and with it the lock
	var server int
	if err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int`).Scan(&server); err != nil {
		return explain("read the version of Postgres", err)
	}
	if err := checkServer(server); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, migrationLock); err != nil {
		return explain("take the migration lock", err)
	}
	const table = `CREATE TABLE IF NOT EXISTS schema_version (version int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())`
	if _, err := conn.Exec(ctx, table); err != nil {
		return explain("make the version table", err)
	}
	var version int
	if err := conn.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM schema_version`).Scan(&version); err != nil {
		return explain("read the schema version", err)
	}
	if version > len(all) {
		return fmt.Errorf("the schema is at version %d, newer than this hub knows (%d): start a newer hub", version, len(all))
	}
	for _, m := range all[version:] {
		if err := apply(ctx, conn, m); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

// oldestServer is the first major version of Postgres that has all that the queries use.
const oldestServer = 15

// checkServer refuses a Postgres, by its server_version_num, that is too old.
func checkServer(number int) error {
	if major := number / 10000; major < oldestServer {
		return fmt.Errorf("%w: this is Postgres %d, and Flotilla needs %d or later", fleet.ErrInvalid, major, oldestServer)
	}
	return nil
}

func apply(ctx context.Context, conn *pgx.Conn, m migration) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, m.sql); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO schema_version (version) VALUES ($1)`, m.number)
		return err
	})
}
