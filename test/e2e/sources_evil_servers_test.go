package e2e

import (
	"fmt"

	"flotilla.dev/flotilla/test/lab"
)

// metadataService is where nothing must ever connect to: the hub refuses the address before it does.
const metadataService = "http://169.254.169.254"

// servers fail in every way, each kind of them.
func (e *evil) servers() {
	e.t.Helper()
	for what, fault := range map[string]lab.Fault{
		"hangs": lab.Hang, "hangs halfway": lab.HangHalfway, "sends half": lab.Half, "sends garbage": lab.Garbage, "resets": lab.Reset,
		"redirects to the metadata service": lab.Redirect(metadataService), "redirects in circles": lab.RedirectLoop,
	} {
		git := lab.TestGit(e.t)
		url, err := git.NewRepo("app")
		e.must(err)
		repo, err := git.Clone(e.t.Context(), "app", e.t.TempDir())
		e.must(err)
		e.must(repo.Write("a.yaml", "a: 1"))
		_, err = repo.Commit(e.t.Context(), "a")
		e.must(err)
		e.must(repo.Push(e.t.Context()))
		git.Set(fault)
		e.add("GitRepository", "a server that "+what, url, fmt.Sprintf("url: %q, ref: {branch: main}, timeout: 3s", url))

		registry := lab.TestRegistry(e.t, lab.RegistryConfig{})
		_, err = registry.Push("app", "latest", lab.FluxArtifact(map[string]string{"a.yaml": "a: 1"}))
		e.must(err)
		registry.Set(fault)
		e.add("OCIRepository", "a registry that "+what, registry.Name("app"), fmt.Sprintf("url: %q, insecure: true, timeout: 3s", "oci://"+registry.Name("app")))

		bucket := lab.TestS3(e.t, lab.S3Config{Public: true})
		e.must(bucket.MakeBucket("app"))
		e.must(bucket.Put("app", "a.yaml", "a: 1"))
		bucket.Set(fault)
		e.add("Bucket", "a store that "+what, bucket.Host(), fmt.Sprintf("endpoint: %q, bucketName: app, insecure: true, timeout: 3s", bucket.Host()))

		helm := lab.TestHelmRepo(e.t, lab.HelmRepoConfig{})
		chart, err := lab.SimpleChart("app", "1.0.0", "x")
		e.must(err)
		e.must(helm.Add(chart))
		helm.Set(fault)
		named := helm.URL()
		if what == "redirects to the metadata service" {
			named = "169.254.169.254 is not allowed" // of the kinds that follow to another host
		}
		e.add("HelmRepository", "a repository that "+what, named, fmt.Sprintf("url: %q, timeout: 3s", helm.URL()))
	}
	const refused = "its address 169.254.169.254 is not allowed"
	e.add("GitRepository", "the metadata service", refused, fmt.Sprintf("url: %q, ref: {branch: main}", metadataService+"/app.git"))
	e.add("OCIRepository", "the metadata service", refused, "url: 'oci://169.254.169.254/app', insecure: true")
	e.add("Bucket", "the metadata service", refused, "endpoint: 169.254.169.254, bucketName: app, insecure: true")
	e.add("HelmRepository", "the metadata service", refused, fmt.Sprintf("url: %q", metadataService))
}
