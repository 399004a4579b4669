package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"flotilla.dev/flotilla/pkg/flux"
)

// released are the fields of a Kustomization that its clusters take from its release, whatever documents they compare:
// those of them that say what an apply would do to its objects.
var released = []string{"commonMetadata", "decryption", "force", "ignore", "postBuild", "prune", "serviceAccountName"}

// tellUncompared warns of what a file declares otherwise than the hub, and a diff shows nothing of.
func (a *app) tellUncompared(ctx context.Context, r ref, flags localFlags, inFile flux.Kustomization) error {
	if flags.file == "" {
		return nil
	}
	atHub, err := a.declaredKustomization(ctx, r, localFlags{})
	if absent := (*failure)(nil); errors.As(err, &absent) && absent.code == exitNotFound {
		return nil // the diff itself says so
	}
	if err != nil {
		return err
	}
	differ, err := otherwise(inFile, atHub)
	if err == nil && len(differ) > 0 {
		a.say(symbolWarn, "%s has other values than the hub for %s: these are not compared, the diff is with the hub's", flags.file, strings.Join(differ, ", "))
	}
	return err
}

// otherwise are the released fields that two declarations have different values for.
func otherwise(one, other flux.Kustomization) (differ []string, err error) {
	var of [2]map[string]json.RawMessage
	for i, declared := range []flux.Kustomization{one, other} {
		encoded, err := json.Marshal(declared)
		if err == nil {
			err = json.Unmarshal(encoded, &of[i])
		}
		if err != nil {
			return nil, err
		}
	}
	for _, field := range released {
		if !bytes.Equal(of[0][field], of[1][field]) {
			differ = append(differ, "spec."+field)
		}
	}
	return differ, nil
}
