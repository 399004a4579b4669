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
// # Ways to build
//
// [Build] is kustomize's own way, and the reference. It takes time that grows with the square of the number of objects. A
// [Builder] first makes a [Plan], which walks the kustomization files: it knows all that the build looks at, names it by a
// complete key, and says of which class the tree is. What only lists resources, or uses fields that pkg/build/engine
// builds, the engine builds at the cost of what changed; a doubt, an error or a panic of it leaves the tree to kustomize,
// whose result or error is the answer. One in a number of the engine's builds is repeated by kustomize. If that comes to
// something else it is the output, the difference is told without a word of what the objects hold, and trees of that
// shape (the same kustomization files, setting the same fields) are built by kustomize from then on.
//
// Kustomize has its schema in a global. Builds therefore wait for each other, whatever makes them; a [NewBuilder] and a
// plan do not wait, though they may read that schema. A process with builds that bring a schema of their own ([Plan].Schema)
// makes its Builder first, and plans and builds one after the other, as the workers of pkg/render do.
//
// There is no bound on the number of objects that kustomize itself builds. Some 3,000 under an overlay, and 5,000 that are
// only listed, were built within the time that a build has, and must not be refused because a field of theirs is one that
// only kustomize knows. Time is the bound; [Options].Kustomizing tells who keeps it why a build may take long, so that the
// error can say so. Repeating a build is another matter: it must not make a build fail that went well.
// [Options].Checking has the objects before it begins, and they count if it does not come to an end; above 2,000 objects
// it is left out.
//
// Kustomize has no bounds of its own on time or memory, and some input makes it end the process. Input of tenants is
// therefore built in the workers of pkg/render, which also bar what this package could overlook.
package build
