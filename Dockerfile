# weft alone: one static binary. Envoy and MongoDB run elsewhere.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /weft .

FROM scratch
# For MongoDB over TLS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /weft /weft
USER 65532:65532
ENTRYPOINT ["/weft"]
CMD ["serve"]
