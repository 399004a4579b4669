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

// loadKey reads the key file; one is made only beside an empty database, since a new key beside an old database would
// lose all that is sealed in it.
func loadKey(ctx context.Context, config Config, url string) (identity.Root, error) {
	root, err := identity.LoadKey(config.KeyFile)
	if !errors.Is(err, fleet.ErrNotFound) {
		return root, err
	}
	empty, err := store.Empty(ctx, url)
	if err != nil {
		return root, err
	}
	if !empty {
		return root, fmt.Errorf("key file %s: %w: the database holds a hub: bring its key file back (--key-file), or start with an empty database", config.KeyFile, fleet.ErrNotFound)
	}
	config.Log.Warn("made a new key file: keep a copy outside of this machine; without it what is sealed in the database is lost", "path", config.KeyFile)
	return identity.CreateKey(config.KeyFile)
}

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
		ended, err := s.ReplaceAdminTokens(ctx, by, adminPrincipal, hash)
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
	root, err = identity.LoadKey(config.KeyFile)
	if err == nil {
		s, err = store.Open(ctx, store.Config{URL: database.url, Sealer: root, KeyFingerprint: root.Fingerprint(), Log: config.Log})
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

// adminPrincipal is who an admin token speaks for.
const adminPrincipal = "user:admin"

func makeAdminToken(ctx context.Context, config Config, s *store.Store, root identity.Root, by fleet.Caller) error {
	return writeAdminToken(config, root, func(hash fleet.Digest) error { return s.AddAdminToken(ctx, by, adminPrincipal, hash) })
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
