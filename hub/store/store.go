package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

// Sealer encrypts what must not be read from the database, bound to the row it stands in, and names what is looked up by
// it.
type Sealer interface {
	Seal(plaintext, aad []byte) []byte
	Open(sealed, aad []byte) ([]byte, error)
	MAC(data []byte) fleet.Digest
}

// Config is what a Store needs.
type Config struct {
	// URL of the database, as libpq takes it.
	URL string
	// Sealer for Secrets and answers, and the fingerprint of its key.
	Sealer         Sealer
	KeyFingerprint fleet.Digest
	Log            *slog.Logger
	// CrossNamespaceRefs lets Apps be built from Sources of other namespaces.
	CrossNamespaceRefs bool
	// Objects is the storage that keeps the bytes of blobs; nil: the database does.
	Objects *Objects
	// MaxConnections of the pool; default 20.
	MaxConnections int32
	// Patience is how long a connection may leave a ping unanswered before it is given up, and how long the one that
	// listens is silent before it is pinged; default 10 s.
	Patience time.Duration
}

// Store is the fleet's state.
type Store struct {
	pool    *pgxpool.Pool
	sealer  Sealer
	log     *slog.Logger
	replica string
	id      string
	// content keeps new blobs. objects is it, or nil: of older ones some may be in either, as their rows say.
	content content
	objects *objects
	// patience and crossNamespace as in Config.
	patience       time.Duration
	crossNamespace bool

	watchers watchers
	flush    run.Wake
}

// Open connects to the database, migrates it, and checks that it belongs to the key and to the object storage:
// fleet.ErrConflict when it does not. The caller closes the Store.
func Open(ctx context.Context, config Config) (*Store, error) {
	s, err := open(ctx, config)
	if err != nil {
		return nil, err
	}
	if config.Objects != nil {
		opened, err := openObjects(*config.Objects)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.content, s.objects = opened, opened
	}
	if err := errors.Join(s.bindContent(ctx), s.settleCharts(ctx)); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// open opens a Store that keeps blobs in the database, wherever they are.
func open(ctx context.Context, config Config) (*Store, error) {
	poolConfig, err := parseURL(config.URL)
	if err != nil {
		return nil, err
	}
	poolConfig.MaxConns = cmp.Or(config.MaxConnections, 20)
	poolConfig.ConnConfig.RuntimeParams["application_name"] = "flotilla-hub"
	poolConfig.ConnConfig.ConnectTimeout = 5 * time.Second
	// A connection that the database closed, or that died unnoticed, is found out before it is used, at the price of a
	// round trip.
	poolConfig.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return true }
	poolConfig.PingTimeout = cmp.Or(config.Patience, 10*time.Second)
	if err := migrate(ctx, poolConfig.ConnConfig); err != nil {
		return nil, fmt.Errorf("migrate the database: %w", err)
	}
	pool, err := pgxpool.NewWithConfig(ctx, poolConfig)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	s := &Store{
		pool: pool, sealer: config.Sealer, log: config.Log, replica: uuid.NewString(), flush: run.NewWake(),
		patience: poolConfig.PingTimeout, crossNamespace: config.CrossNamespaceRefs,
		watchers: watchers{topics: map[string][]run.Wake{}}, content: chunks{},
	}
	if err := s.claim(ctx, config.KeyFingerprint); err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

func parseURL(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w: it does not parse", fleet.ErrInvalid) // pgx's text may hold the password
	}
	return config, nil
}

// Close ends every connection.
func (s *Store) Close() { s.pool.Close() }

// ID tells this database from any other; watch tokens carry it.
func (s *Store) ID() string { return s.id }

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	return explain("ping the database", s.pool.Ping(ctx))
}

// Empty reports whether the database at url holds no hub yet.
func Empty(ctx context.Context, url string) (bool, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return false, explain("connect to the database", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	const known = `SELECT to_regclass('hub') IS NOT NULL`
	var exists bool
	if err := conn.QueryRow(ctx, known).Scan(&exists); err != nil {
		return false, explain("look for a hub in the database", err)
	}
	if !exists {
		return true, nil
	}
	const owned = `SELECT EXISTS (SELECT FROM hub)`
	if err := conn.QueryRow(ctx, owned).Scan(&exists); err != nil {
		return false, explain("look for a hub in the database", err)
	}
	return !exists, nil
}

// claim makes an empty database this key's, and refuses another key's.
func (s *Store) claim(ctx context.Context, fingerprint fleet.Digest) error {
	const insert = `INSERT INTO hub (key_fingerprint) VALUES ($1) ON CONFLICT DO NOTHING`
	if _, err := s.pool.Exec(ctx, insert, fingerprint.Bytes()); err != nil {
		return explain("claim the database", err)
	}
	const query = `SELECT id::text, key_fingerprint FROM hub`
	var owner []byte
	if err := s.pool.QueryRow(ctx, query).Scan(&s.id, &owner); err != nil {
		return explain("read the database's key", err)
	}
	if known, err := fleet.DigestFromBytes(owner); err != nil || known != fingerprint {
		return fmt.Errorf("%w: the key file is not the one this database was made with: start the hub with that key file (--key-file), or with an empty database", fleet.ErrConflict)
	}
	return nil
}
