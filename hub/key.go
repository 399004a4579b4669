package hub

import (
	"context"
	"errors"
	"fmt"

	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/disk"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
)

// keyPlace is where the hub's key is, outside of the database.
type keyPlace interface {
	// load returns the key; fleet.ErrNotFound when there is none.
	load(ctx context.Context) (identity.Root, error)
	// create makes one where there is none.
	create(ctx context.Context) (identity.Root, error)
	// String says which place it is, and wayOut how to name another.
	String() string
	wayOut() string
}

// keyPlaceOf is the place that the configuration names.
func keyPlaceOf(config Config) keyPlace {
	switch {
	case config.Key != "":
		return environmentKey(config.Key)
	case config.KeySecret != "":
		return secretKey{reference: config.KeySecret, kubeconfig: config.Kubeconfig}
	}
	return fileKey(config.KeyFile)
}

// loadKey reads the key; one is made only beside an empty database, since a new key beside an old database would lose all
// that is sealed in it.
func loadKey(ctx context.Context, config Config, url string) (identity.Root, error) {
	place := keyPlaceOf(config)
	root, err := place.load(ctx)
	if !errors.Is(err, fleet.ErrNotFound) {
		return root, err
	}
	empty, err := store.Empty(ctx, url)
	if err != nil {
		return root, err
	}
	if !empty {
		return root, fmt.Errorf("%s: %w: the database holds a hub: bring its key back (%s), or start with an empty database", place, fleet.ErrNotFound, place.wayOut())
	}
	config.Log.Warn("made a new key: keep a copy elsewhere; without it what is sealed in the database is lost", "place", place.String())
	return place.create(ctx)
}

// fileKey is the key in a file.
type fileKey string

func (f fileKey) load(context.Context) (identity.Root, error)   { return identity.LoadKey(string(f)) }
func (f fileKey) create(context.Context) (identity.Root, error) { return identity.CreateKey(string(f)) }
func (f fileKey) String() string                                { return "key file " + string(f) }
func (f fileKey) wayOut() string                                { return "--key-file" }

// environmentKey is the key in FLOTILLA_KEY. It is there, or another place is meant.
type environmentKey string

func (e environmentKey) load(context.Context) (identity.Root, error) {
	root, err := identity.ParseKey(string(e))
	if err != nil {
		return root, fmt.Errorf("FLOTILLA_KEY: %w", err)
	}
	return root, nil
}
func (e environmentKey) create(ctx context.Context) (identity.Root, error) { return e.load(ctx) }
func (e environmentKey) String() string                                    { return "FLOTILLA_KEY" }
func (e environmentKey) wayOut() string                                    { return "FLOTILLA_KEY" }

// AddAdminToken makes another admin token for the hub whose data the configuration names, and on request ends all others.
func AddAdminToken(ctx context.Context, config Config, revokeOthers bool) error {
	if err := config.Validate(); err != nil {
		return err
	}
	config = config.withDefaults()
	s, root, done, err := openBeside(ctx, config)
	if err != nil {
		return err
	}
	defer done()
	by := fleet.Caller{Principal: hostPrincipal}
	if !revokeOthers {
		return makeAdminToken(ctx, config, s, root, by)
	}
	return writeAdminToken(config, root, func(hash fleet.Digest) error {
		ended, err := s.ReplaceAdminTokens(ctx, by, fleet.Admin, hash)
		if err == nil {
			config.Log.Info("ended the other admin tokens", "tokens", ended)
		}
		return err
	})
}

// openBeside opens the data of a hub that may be running; done closes them.
func openBeside(ctx context.Context, config Config) (s *store.Store, root identity.Root, done func(), err error) {
	database, err := openDatabase(ctx, config)
	if err != nil {
		return nil, root, nil, err
	}
	root, err = keyPlaceOf(config).load(ctx)
	if err == nil {
		s, err = store.Open(ctx, config.store(database.url, root))
	}
	if err != nil {
		database.close()
		return nil, root, nil, err
	}
	return s, root, func() { s.Close(); database.close() }, nil
}

// hostPrincipal is who changes something at the hub's machine itself, for the audit log.
const hostPrincipal = "host"

// ensureAdminToken makes the first admin token.
func ensureAdminToken(ctx context.Context, config Config, s *store.Store, root identity.Root) error {
	exists, err := s.HasAdminToken(ctx)
	if err != nil || exists {
		return err
	}
	return makeAdminToken(ctx, config, s, root, store.System)
}

func makeAdminToken(ctx context.Context, config Config, s *store.Store, root identity.Root, by fleet.Caller) error {
	return writeAdminToken(config, root, func(hash fleet.Digest) error { return s.AddAdminToken(ctx, by, fleet.Admin, hash) })
}

// writeAdminToken makes a token, lets its hash be kept, and writes it to its file, or prints it once. The file is written
// before, so that no token is kept that nobody gets to know, and put in place behind, over one that may still be good.
func writeAdminToken(config Config, root identity.Root, keep func(hash fleet.Digest) error) error {
	token, hash := identity.NewAdminToken()
	if config.AdminTokenFile == "" {
		if err := keep(hash); err != nil {
			return err
		}
		fmt.Printf("admin token, shown this once: %s\nCA pin: %s\n", token, root.Authority().Pin())
		return nil
	}
	file, err := disk.Prepare(config.AdminTokenFile, []byte(token+"\n"), 0o600)
	if err != nil {
		return fmt.Errorf("write the admin token: %w", err)
	}
	if err := keep(hash); err != nil {
		file.Discard()
		return err
	}
	if err := file.Commit(); err != nil {
		return fmt.Errorf("the admin token is good, and in %s: %w", file.Beside, err)
	}
	return nil
}
