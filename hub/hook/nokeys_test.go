package hook_test

import (
	"context"

	"flotilla.dev/flotilla/hub/hook"
)

// noKeys has no keys: every token is refused.
type noKeys struct{}

func (noKeys) Claims(context.Context, string, string, string) (map[string]any, error) {
	return nil, &hook.Refusal{}
}

func (noKeys) GoogleClaims(context.Context, string, string) (map[string]any, error) {
	return nil, &hook.Refusal{}
}
