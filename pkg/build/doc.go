// Package build turns a directory of a source's files into the objects that kustomize prints for it with an App's
// [fleet.BuildSpec] on top, as Flux has kustomize do it (fluxcd/pkg/kustomize, Generator). A directory without
// kustomization file is scanned for YAML. The spec then goes into the kustomization file at the top: targetNamespace,
// namePrefix, nameSuffix and buildMetadata replace the file's values, patches and components come after the file's own,
// and an image changes the fields it sets of the file's entry of that name. A file that lists no resources makes its
// objects say their origin, unless spec.buildMetadata says otherwise.
//
// A build is pure: the same files and spec give the same objects wherever it runs. It reads the [FileSystem] it is given
// and nothing else, neither network nor disk. What would reach outside (remote bases, charts, plugins that are programs)
// is refused as soon as the kustomization file that says so is read, with the file and the field named.
//
// Files that Flux decrypts before it builds, those of secret generators and patches, end a build with an
// [EncryptedError] if they are encrypted with SOPS. Who has the key decrypts them and builds the plain files.
//
// Kustomize has no bounds of its own on time or memory, and some input makes it end the process. Input of tenants is
// therefore built in the workers of pkg/render, which also bar what this package could overlook.
package build
