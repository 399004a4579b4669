package helm

import (
	"fmt"
	"strings"
	"testing"
)

func TestChartThatIsMissingIsAnsweredByTheNearestOrByHowManyThereAre(t *testing.T) {
	t.Parallel()
	named := func(names ...string) *index {
		x := &index{charts: map[string][]release{}}
		for _, name := range names {
			x.charts[name] = nil
		}
		return x
	}
	many := named()
	for i := range 300 {
		many.charts[fmt.Sprintf("postgres-%03d", i)] = nil
	}
	for name, tc := range map[string]struct {
		index *index
		chart string
		want  string
	}{
		"none":             {named(), "a", "it has none at all; check spec.url of the HelmRepository"},
		"one other":        {named("redis"), "nope", `it has one, "redis"; check spec.chart, and spec.url of the HelmRepository`},
		"nothing similar":  {named("redis", "nginx"), "kafka", "it has 2 others, none of a similar name; check spec.chart, and spec.url of the HelmRepository"},
		"a slip":           {named("redis", "ngnix", "kafka"), "nginx", "it has ngnix; check spec.chart"},
		"another case":     {named("redis", "Nginx"), "nginx", "it has Nginx; check spec.chart"},
		"a part":           {named("redis", "kube-prometheus-stack"), "prometheus", "it has kube-prometheus-stack; check spec.chart"},
		"the nearest five": {many, "postgres-0000", "it has postgres-000, postgres-001, postgres-002, postgres-003, postgres-004; check spec.chart"},
		"a name too long":  {named("redis", strings.Repeat("n", 1000)), strings.Repeat("n", 999), "it has 2 others, none"},
	} {
		if got := tc.index.instead(tc.chart); !strings.HasPrefix(got, tc.want) {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}
