# Build: the same command as on any machine.
FROM oven/bun:1.4.5 AS build
WORKDIR /src
COPY . .
RUN bun run build && mkdir /src/empty

# Run: glibc, certificates, no shell; the user is not root.
FROM gcr.io/distroless/base-debian12:nonroot
COPY --from=build /src/dist/txhook /usr/local/bin/txhook
# An empty directory that the user owns: a new volume takes its owner from it.
COPY --from=build --chown=nonroot:nonroot /src/empty /data

# Others reach it: it starts with TXHOOK_WEBHOOK_SECRETS and TXHOOK_API_KEYS, or their _FILE variants.
ENV HOST=0.0.0.0 \
    PORT=8000 \
    TXHOOK_DATA_DIR=/data
VOLUME /data
EXPOSE 8000
USER nonroot
HEALTHCHECK --interval=10s --timeout=6s --start-period=5s CMD ["/usr/local/bin/txhook", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/txhook"]
CMD ["serve"]
