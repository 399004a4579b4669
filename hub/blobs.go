package hub

import (
	"context"
	"errors"
	"fmt"

	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/identity"
)

// ToDatabase is where MoveBlobs moves to in place of a URL: the database.
const ToDatabase = "database"

// MoveBlobs moves the bytes of blobs of the hub whose data the configuration names, from where its Blobs says to another
// place, and returns how many. No hub may run meanwhile.
func MoveBlobs(ctx context.Context, config Config, to string) (moved int, err error) {
	if err := config.Validate(); err != nil {
		return 0, err
	}
	config = config.withDefaults()
	var target *store.Objects
	if to != ToDatabase {
		if target, err = config.objects(to); err != nil {
			return 0, fmt.Errorf("--to: %w", err)
		}
		if target == nil {
			return 0, errors.New("--to is database, or object storage as --blobs has it")
		}
	}
	database, err := openDatabase(ctx, config)
	if err != nil {
		return 0, err
	}
	defer database.close()
	var root identity.Root
	if root, err = keyPlaceOf(config).load(ctx); err != nil {
		return 0, err
	}
	return store.MoveBlobs(ctx, config.store(database.url, root), target)
}
