package fleet

// Pushed is an artifact that somebody made and gave to the hub.
type Pushed struct {
	Revision Revision
	// Tree is the digest of the files, TreeBlob of the Tree's encoding, which is stored.
	Tree     Digest
	TreeBlob Digest
	Files    int
	Detail   ArtifactDetail
}

// Annotations of an artifact, as the OCI image specification names them and Flux sets them.
const (
	SourceAnnotation   = "org.opencontainers.image.source"
	RevisionAnnotation = "org.opencontainers.image.revision"
	CreatedAnnotation  = "org.opencontainers.image.created"
)
