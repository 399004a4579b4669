package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"flotilla.dev/flotilla/pkg/postgres"
)

// PostgresConfig says where a private Postgres keeps its data and how it runs.
type PostgresConfig struct {
	// Dir keeps the data; a server started again on it has the databases it had. Empty: a temporary directory that
	// Stop removes, in memory where that has room: a database is hundreds of files, and to make and remove them on disk
	// is half of what a test with one costs.
	Dir string
	// Port is the TCP port on 127.0.0.1. 0: a free one.
	Port int
	// Fsync makes commits survive the machine, for benchmarks that must pay for it. They survive Kill either way.
	Fsync bool
	// Log takes the server's messages. Nil drops them.
	Log *slog.Logger
}

// Postgres is a running private Postgres server. It is safe for concurrent use.
type Postgres struct {
	server    *postgres.Server
	workspace *workspace // nil when the directory is the caller's
}

// StartPostgres starts a server and returns when it accepts connections. The context bounds the start only.
func StartPostgres(ctx context.Context, config PostgresConfig) (*Postgres, error) {
	p := &Postgres{}
	if config.Dir == "" {
		var err error
		temporary := newWorkspaceInMemory
		if config.Fsync {
			temporary = newWorkspace
		}
		if p.workspace, err = temporary(); err != nil {
			return nil, err
		}
		config.Dir = filepath.Join(p.workspace.dir, "postgres")
	}
	// Above any hub's default, since the tests of a package share one server.
	server, err := postgres.Start(ctx, postgres.Config{
		Dir: config.Dir, Port: config.Port, NoFsync: !config.Fsync, MaxConnections: 300, Log: config.Log,
	})
	if err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	p.server = server
	return p, nil
}

// FindPostgres returns the directory of the installed Postgres binaries; its error names the command that installs
// them.
func FindPostgres() (bindir string, err error) { return postgres.Find() }

// URL names the server's maintenance database, superuser and password included.
func (p *Postgres) URL() string { return p.server.URL("postgres") }

// CreateDatabase makes an empty database and returns its URL.
func (p *Postgres) CreateDatabase(ctx context.Context, name string) (url string, err error) {
	return p.server.URL(name), p.exec(ctx, "CREATE DATABASE "+quote(name)+copyFiles)
}

// CopyDatabase makes a database with the content of another and returns its URL. Postgres copies only what nobody uses:
// sessions of the one that is copied are ended, and nobody may connect to it meanwhile.
func (p *Postgres) CopyDatabase(ctx context.Context, from, to string) (url string, err error) {
	if err := p.allow(ctx, from, false); err != nil {
		return "", err
	}
	url, err = p.copyClosed(ctx, from, to)
	return url, errors.Join(err, p.allow(context.WithoutCancel(ctx), from, true))
}

// copyClosed is CopyDatabase of one that nobody may connect to.
func (p *Postgres) copyClosed(ctx context.Context, from, to string) (url string, err error) {
	ctx, cancel := context.WithTimeout(ctx, copyPatience)
	defer cancel()
	for {
		err = p.exec(ctx, "CREATE DATABASE "+quote(to)+" TEMPLATE "+quote(from)+copyFiles)
		// One of before, or that was just beginning when connections were forbidden, is there still.
		if refused := (*pgconn.PgError)(nil); !errors.As(err, &refused) || refused.Code != objectInUse {
			return p.server.URL(to), err
		}
		if err := p.exec(ctx, endSessions, from); err != nil {
			return "", err
		}
	}
}

// allow lets clients connect to a database, or no more of them.
func (p *Postgres) allow(ctx context.Context, name string, whether bool) error {
	return p.exec(ctx, fmt.Sprintf("ALTER DATABASE %s WITH ALLOW_CONNECTIONS %t", quote(name), whether))
}

const (
	// objectInUse is what Postgres says of a database that has sessions.
	objectInUse = "55006"
	// copyPatience is how long a database is copied, with all tries.
	copyPatience = time.Minute
)

// RestoreDatabase puts a copy that CopyDatabase made in the place of a database: the same URL then shows an older
// time. Sessions of both are ended; the copy stays.
func (p *Postgres) RestoreDatabase(ctx context.Context, copy, name string) error {
	if err := p.DropDatabase(ctx, name); err != nil {
		return err
	}
	_, err := p.CopyDatabase(ctx, copy, name)
	return err
}

// DropDatabase removes a database, ending its sessions; one that is absent is no error.
func (p *Postgres) DropDatabase(ctx context.Context, name string) error {
	return p.exec(ctx, "DROP DATABASE IF EXISTS "+quote(name)+" WITH (FORCE)")
}

// DumpDatabase returns all that a database holds, as pg_dump writes it.
func (p *Postgres) DumpDatabase(ctx context.Context, name string) (dump string, err error) {
	output, err := exec.CommandContext(ctx, filepath.Join(p.server.BinDir(), "pg_dump"), p.server.URL(name)).Output()
	if err != nil {
		return "", fmt.Errorf("pg_dump %s: %w", name, err)
	}
	return string(output), nil
}

// Kill ends the server with SIGKILL, as a crash would, and waits until its processes are gone.
func (p *Postgres) Kill() { p.server.Kill() }

// Start starts a killed server again on the same port, with what was committed.
func (p *Postgres) Start(ctx context.Context) error { return p.server.Restart(ctx) }

// Stop ends the server, waits for that, and removes a temporary directory. It may be called more than once.
func (p *Postgres) Stop() error {
	var err error
	if p.server != nil {
		err = p.server.Stop()
	}
	if p.workspace != nil {
		err = errors.Join(err, p.workspace.remove())
		p.workspace = nil
	}
	return err
}

// copyFiles is the faster way while nothing is synced to disk.
const copyFiles = " STRATEGY file_copy"

const endSessions = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()`

// exec runs one statement in the maintenance database.
func (p *Postgres) exec(ctx context.Context, sql string, args ...any) error {
	conn, err := pgx.Connect(ctx, p.URL())
	if err != nil {
		return fmt.Errorf("connect to the lab's postgres: %w", err)
	}
	_, err = conn.Exec(ctx, sql, args...)
	return errors.Join(err, conn.Close(ctx))
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
