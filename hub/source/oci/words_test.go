package oci_test

import (
	"net/http"
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

// A chart has no fields to say where it is and who pulls it: its HelmRepository has.
func TestFailuresOfAChartNameFieldsThatItHas(t *testing.T) {
	t.Parallel()
	latest := &flux.OCIReference{Tag: "latest"}
	versions := &flux.OCIReference{SemVer: "*"}
	status := func(code int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(code); return true }
	}
	body := func(path, text string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, req *http.Request) bool {
			if !strings.Contains(req.URL.Path, path) {
				return false
			}
			_, _ = w.Write([]byte(text))
			return true
		}
	}
	for name, test := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request) bool
		ask    func(*flux.OCIRepository)
		kind   source.Kind
		says   string
	}{
		"no login": {status(http.StatusUnauthorized), nil, source.KindAuth,
			"check spec.url of its HelmRepository, or name a Secret with username and password, or of type kubernetes.io/dockerconfigjson, in spec.secretRef of its HelmRepository"},
		"no registry":   {status(http.StatusTeapot), nil, source.KindServer, "is spec.url of its HelmRepository that of a registry?"},
		"no repository": {nil, func(o *flux.OCIRepository) { o.URL += "2" }, source.KindRepository, "check spec.url of its HelmRepository"},
		"no list":       {nil, func(o *flux.OCIRepository) { o.URL += "2"; o.Ref = versions }, source.KindRepository, "check spec.url of its HelmRepository"},
		"no version":    {nil, func(o *flux.OCIRepository) { o.Ref = &flux.OCIReference{Tag: "1.0.0"} }, source.KindRef, "tag 1.0.0 is not in the repository; check spec.version"},
		"no names": {body("/tags/", "<html>"), func(o *flux.OCIRepository) { o.Ref = versions }, source.KindServer,
			"is spec.url of its HelmRepository that of a registry?"},
		"many names": {body("/tags/", `{"tags":[`+strings.Repeat(`"",`, 100_000)+`""]}`), func(o *flux.OCIRepository) { o.Ref = versions }, source.KindLimit,
			"has more than 100000 names; name one version, and no range, in spec.version"},
		"another layer": {nil, func(o *flux.OCIRepository) { o.LayerSelector = &flux.LayerSelector{MediaType: flux.ChartLayer} }, source.KindContent,
			"no layer of media type \"" + flux.ChartLayer + "\" (a chart's); it has"},
		"no TLS":      {nil, func(o *flux.OCIRepository) { o.Insecure = false }, source.KindTLS, "should spec.insecure of its HelmRepository be true?"},
		"no identity": {nil, func(o *flux.OCIRepository) { o.Provider = "aws" }, source.KindAuth, "spec.provider of its HelmRepository is the hub's own identity"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, b := plain(t), fetcher(t)
			s.artifact(t, "latest", map[string]string{"a": "b"})
			s.before = test.answer
			u := upstream(s, func(o *flux.OCIRepository, _ source.Secrets) {
				o.Ref = latest
				if test.ask != nil {
					test.ask(o)
				}
			})
			u.Kind = "HelmChart"
			_, _, err := fetched(t.Context(), b, u)
			refused(t, err, test.kind, test.says)
		})
	}
}

func TestATokenServiceWithoutTLSIsToldToAChartByItsRepository(t *testing.T) {
	t.Parallel()
	s, tokens := encrypted(t), tokens(t, false)
	wantsToken(s, tokens.URL)
	u := upstream(s)
	u.Kind = "HelmChart"
	_, _, err := fetched(t.Context(), fetcher(t), u)
	refused(t, err, source.KindTLS, "it is not sent unless spec.insecure of its HelmRepository is true")
}
