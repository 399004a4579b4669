package helm_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/helm"
	"flotilla.dev/flotilla/pkg/flux"
)

func TestAChartThatNothingChangesKeepsUpstreamsBytes(t *testing.T) {
	t.Parallel()
	b, s := newBundle(t), serve(t)
	first, second := packed("podinfo", podinfo("1.0.0")), packed("podinfo", podinfo("2.0.0"))
	s.publish(first, second)
	input := b.index(repository(s.spec(), nil))
	for want, test := range map[string]struct {
		spec flux.HelmChart
		data []byte
	}{
		"1.0.0": {flux.HelmChart{Chart: "podinfo", Version: "1.x"}, first},
		"2.0.0": {flux.HelmChart{Chart: "podinfo", ValuesFiles: []string{"values.yaml"}}, second},
	} {
		found, got, data := b.chart(of(input, test.spec))
		if string(found.Revision) != want || !found.Inputs.IsZero() || got.Tree.Files[0].Path != "podinfo-"+want+".tgz" || string(data) != string(test.data) {
			t.Errorf("%+v: found %+v, file %s of %d bytes", test.spec, found, got.Tree.Files[0].Path, len(data))
		}
		if d := got.Detail; d.Chart != "podinfo" || d.SourceRevision != string(input.Revision) || d.ValuesFiles != nil || d.Packaged || d.Size != int64(len(data)) {
			t.Errorf("detail %+v", d)
		}
	}
}

func TestValuesFilesTakeThePlaceOfTheChartsValues(t *testing.T) {
	t.Parallel()
	b, s := newBundle(t), serve(t)
	s.publish(packed("podinfo", podinfo("1.0.0").with(files{"more.yaml": "image:\n  name: x\nreplicas: 5\n"})))
	input := b.index(repository(s.spec(), nil))
	found, got, data := b.chart(of(input, flux.HelmChart{Chart: "podinfo", ValuesFiles: []string{"values.yaml", "./prod.yaml", "more.yaml", "none.yaml"}, IgnoreMissingValuesFiles: true}))
	in := unpack(t, data)
	if want := "image:\n  name: x\n  tag: a\nreplicas: 5\n"; in["podinfo/values.yaml"] != want {
		t.Errorf("values.yaml %q, want %q", in["podinfo/values.yaml"], want)
	}
	version := string(found.Revision)
	if mark, found := strings.CutPrefix(version, "1.0.0+"); !found || len(mark) != 12 || !strings.Contains(in["podinfo/Chart.yaml"], "version: "+version+"\n") {
		t.Errorf("version %s, Chart.yaml %q", version, in["podinfo/Chart.yaml"])
	}
	if diff := cmp.Diff([]string{"values.yaml", "./prod.yaml", "more.yaml"}, got.Detail.ValuesFiles); diff != "" {
		t.Errorf("values files (-want +got):\n%s", diff)
	}
	if !got.Detail.Packaged {
		t.Error("what was packaged anew is not said to be")
	}
	if in["podinfo/templates/cm.yaml"] != "kind: ConfigMap\n" || len(in) != 5 {
		t.Errorf("files %v", in)
	}
	// Other files are another package, and so another version.
	other, _, _ := b.chart(of(input, flux.HelmChart{Chart: "podinfo", ValuesFiles: []string{"prod.yaml"}}))
	if other.Revision == found.Revision {
		t.Error("other values files have the same revision")
	}
	_, _, err := fetched(t.Context(), b.Charts(), of(input, flux.HelmChart{Chart: "podinfo", ValuesFiles: []string{"none.yaml"}}))
	fails(t, "a file that is missing", err, source.KindContent, `no values file "none.yaml"`)
	_, _, err = fetched(t.Context(), b.Charts(), of(input, flux.HelmChart{Chart: "podinfo", ValuesFiles: []string{"templates/cm.yaml"}}))
	fails(t, "a template", err, source.KindContent, `no values file "templates/cm.yaml"`)
}

func TestChartsFailuresSayWhatToDo(t *testing.T) {
	t.Parallel()
	b, s := newBundle(t), serve(t)
	chart := packed("podinfo", podinfo("1.0.0"))
	s.publish(chart)
	good := b.index(repository(s.spec(), nil))
	_, err := b.Charts().Resolve(t.Context(), of(good, flux.HelmChart{Chart: "other"}))
	fails(t, "no such chart", err, source.KindContent, `index.yaml has no chart "other": it has one, "podinfo"; check spec.chart, and spec.url of the HelmRepository`)
	_, err = b.Charts().Resolve(t.Context(), of(good, flux.HelmChart{Chart: "pod-info"}))
	fails(t, "a similar chart", err, source.KindContent, `index.yaml has no chart "pod-info": it has podinfo; check spec.chart`)
	_, err = b.Charts().Resolve(t.Context(), of(good, flux.HelmChart{Chart: "podinfo", Version: "3.x"}))
	fails(t, "no such version", err, source.KindContent, `no version of the chart "podinfo" in the range "3.x"`)
	_, err = b.Charts().Resolve(t.Context(), of(source.Input{Name: "repo", Upstream: good.Upstream}, flux.HelmChart{Chart: "podinfo"}))
	fails(t, "nothing fetched", err, source.KindInput, "HelmRepository repo has nothing yet")
	half := good
	half.Secrets = source.Secrets{"secretRef": {"username": []byte("me")}}
	_, _, err = fetched(t.Context(), b.Charts(), of(half, flux.HelmChart{Chart: "podinfo"}))
	fails(t, "half a credential", err, source.KindAuth, "spec.secretRef of its HelmRepository: the Secret has one of")
	_, err = b.Charts().Fetch(t.Context(), of(good, flux.HelmChart{Chart: "podinfo"}), source.Found{Revision: "0.9.0"})
	fails(t, "moved on", err, source.KindInput, "has version 1.0.0 now, no longer 0.9.0")

	s.ServeFile("/charts/podinfo-1.tgz", packed("podinfo", podinfo("1.0.0").with(files{"evil": "x"})))
	_, _, err = fetched(t.Context(), b.Charts(), of(good, flux.HelmChart{Chart: "podinfo"}))
	fails(t, "changed since the index", err, source.KindContent, "chart podinfo 1.0.0 has not the digest")
}

// A server that sends slowly takes no memory: what it sends is on disk until all of it is there.
func TestAChartIsReceivedInTheHubsDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b, s := newBundle(t, func(c *helm.Config) { c.Dir = dir }), serve(t)
	s.publish(packed("podinfo", podinfo("1.0.0")))
	u := of(b.index(repository(s.spec(), nil)), flux.HelmChart{Chart: "podinfo"})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	_, _, err := fetched(t.Context(), b.Charts(), u)
	fails(t, "a directory that is gone", err, source.KindStore, "the hub could not keep what it fetched")
}

func TestAVersionThatIsPushedAgainIsNotFetchedAgain(t *testing.T) {
	t.Parallel()
	b, s := newBundle(t), serve(t)
	s.publish(packed("podinfo", podinfo("1.0.0")))
	u := repository(s.spec(), nil)
	first, _, _ := b.chart(of(b.index(u), flux.HelmChart{Chart: "podinfo"}))
	s.publish(packed("podinfo", podinfo("1.0.0").with(files{"more": "x"})))
	second, _, _ := b.chart(of(b.index(u), flux.HelmChart{Chart: "podinfo"}))
	if first != second {
		t.Errorf("%+v became %+v", first, second)
	}
}

func TestAChartOfARegistryIsTheLayerOfItsTag(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	data := packed("podinfo", podinfo("1.0.0+b1"))
	b.registry.tags["oci://registry.example.com/charts/podinfo:1.0.0_b1"] = data
	spec := flux.HelmRepository{URL: "oci://registry.example.com/charts/", Type: flux.HelmRepositoryOCI, Insecure: true, Provider: "aws"}
	u := repository(spec, source.Secrets{"secretRef": {"username": []byte("me"), "password": []byte("hunter2"), "caFile": []byte("authority")}})
	u.Identity = true
	input := source.Input{Name: "registry", Upstream: u}
	found, got, content := b.chart(of(input, flux.HelmChart{Chart: "podinfo", Version: "1.0.0+b1"}))
	if found.Revision != "1.0.0+b1" || got.Tree.Files[0].Path != "podinfo-1.0.0+b1.tgz" || string(content) != string(data) {
		t.Errorf("found %+v, %s", found, got.Tree.Files[0].Path)
	}
	asked := b.registry.asked[0]
	oci := asked.Spec.(flux.OCIRepository)
	if oci.Ref.Tag != "1.0.0_b1" || !oci.Insecure || oci.Provider != "aws" || !asked.Identity || oci.LayerSelector.Operation != flux.CopyLayer || oci.Verify != nil {
		t.Errorf("the registry was asked for %+v", oci)
	}
	if want := `{"auths":{"registry.example.com":{"username":"me","password":"hunter2"}}}`; string(asked.Secrets["secretRef"][".dockerconfigjson"]) != want || string(asked.Secrets["certSecretRef"]["caFile"]) != "authority" {
		t.Errorf("with %s", asked.Secrets)
	}
	chart := of(input, flux.HelmChart{Chart: "podinfo", Version: ">=1.0.0", Verify: &flux.OCIVerify{Provider: "cosign", SecretRef: &flux.SecretRef{Name: "keys"}}})
	chart.Secrets["verify.secretRef"] = map[string][]byte{"a.pub": []byte("key")}
	if _, got, _ := b.chart(chart); got.Detail.Verified != "a key" {
		t.Errorf("detail %+v", got.Detail)
	}
	asked = b.registry.asked[len(b.registry.asked)-1]
	if oci := asked.Spec.(flux.OCIRepository); oci.Ref.SemVer != ">=1.0.0" || oci.Verify == nil || string(asked.Secrets["verify.secretRef"]["a.pub"]) != "key" {
		t.Errorf("the registry was asked for %+v", oci)
	}
}
