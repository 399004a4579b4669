package decrypt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/getsops/sops/v3/shamir"
)

// dataKey opens the key that a document's values are encrypted with.
func (k *Keys) dataKey(ctx context.Context, m metadata) ([]byte, error) {
	var parts [][]byte
	var problems []string
	var service error
	for _, group := range m.groups {
		part, err := k.openGroup(ctx, group)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		switch {
		case err == nil:
			parts = append(parts, part)
		case errors.Is(err, ErrService):
			service = err
		case !errors.Is(err, errOtherKey) && !slices.Contains(problems, err.Error()):
			problems = append(problems, err.Error())
		}
	}
	switch {
	case len(parts) < m.threshold && service != nil:
		return nil, service
	case len(parts) < m.threshold:
		return nil, k.noKey(m, len(parts), problems)
	case len(m.groups) == 1:
		return parts[0], nil
	}
	return combine(parts)
}

// openGroup opens a group's part with the first of its keys that does.
func (k *Keys) openGroup(ctx context.Context, group []masterKey) ([]byte, error) {
	result := errOtherKey
	for _, key := range group {
		var part []byte
		var err error
		switch key.kind {
		case "age":
			part, err = k.openAge(key.enc)
		case "pgp":
			part, err = k.openPGP(key.enc)
		default:
			part, err = k.cloud.open(ctx, key)
		}
		switch {
		case err == nil:
			return part, nil
		case errors.Is(err, errBroken):
			result = fmt.Errorf("the data key for %s: %w", key, err)
		case !errors.Is(err, errOtherKey):
			result = err
		}
	}
	return nil, result
}

// noKey says what would open the document, and what there is.
func (k *Keys) noKey(m metadata, opened int, problems []string) error {
	text := "it is encrypted for " + strings.Join(m.wanted(), ", ")
	if len(m.groups) > 1 {
		text = fmt.Sprintf("%s in %d groups, of which %d are needed and %d opened", text, len(m.groups), m.threshold, opened)
	}
	text += "; " + k.String()
	if len(problems) > 0 {
		text += "; " + strings.Join(problems, "; ")
	}
	return fmt.Errorf("%w: %s", ErrNoKey, text)
}

// combine puts a data key together from the parts that SOPS has split it into.
func combine(parts [][]byte) (key []byte, err error) {
	key, err = shamir.Combine(parts)
	if err != nil {
		return nil, fmt.Errorf("%w: the parts of its data key do not fit together", ErrDamaged)
	}
	return key, nil
}
