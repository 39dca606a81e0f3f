# weft alone: one static binary. Envoy and MongoDB run elsewhere. The target "envoy" is Envoy with weft in its process.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /weft .

# The library needs a glibc as new as the one of this stage or older: Debian 12, like Envoy's image.
FROM golang:1.26-bookworm AS library
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN CGO_ENABLED=1 go build -buildmode=c-shared -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /libweft.so ./envoy/module/libweft

FROM envoyproxy/envoy:distroless-v1.40.0 AS envoy
COPY --from=library /libweft.so /usr/lib/libweft.so

FROM scratch
# For MongoDB over TLS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /weft /weft
USER 65532:65532
ENTRYPOINT ["/weft"]
CMD ["serve"]
